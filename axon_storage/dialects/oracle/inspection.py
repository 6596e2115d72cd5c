"""What Oracle tells about a database and its tables."""

from sqlalchemy import Connection

from axon_storage.dialects.inspection import ServerInspection

_READ_ONLY_ROLES = frozenset({"PHYSICAL STANDBY", "LOGICAL STANDBY"})


class OracleInspection(ServerInspection):
    """The role of an Oracle database."""

    def is_read_only(self, connection: Connection) -> bool:
        # Not open_mode of v$database, which needs a grant.
        role = connection.exec_driver_sql("SELECT SYS_CONTEXT('USERENV', 'DATABASE_ROLE') FROM dual").scalar_one()
        return role in _READ_ONLY_ROLES
