"""The versions of Oracle's driver. The server was not tested; the driver refuses those before 12.1."""

from axon_storage.dialects.versions import ServerVersions


class OracleVersions(ServerVersions):
    """A double of Oracle, which imitates 12.1 and 23ai."""

    server_is_tested = False
    tested_drivers = {"oracledb": "26.1"}
