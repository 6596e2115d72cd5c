"""What ``axon-storage doctor`` asks Oracle. Most of it needs no grant."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from axon_storage.dialects.diagnosis import ServerDiagnosis
from axon_storage.model.findings import Finding, ok_unless

_CHARSET = "SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'"
_ROLES = "SELECT role FROM session_roles"
_OWNER = "SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA'), SYS_CONTEXT('USERENV', 'SESSION_USER') FROM dual"


class OracleDiagnosis(ServerDiagnosis):
    """The character set and the role of an account of Oracle."""

    durability_is_visible = False  # commit_wait and commit_logging need a grant on v$parameter

    def settings(self, connection: Connection) -> Iterator[Finding]:
        yield ok_unless("character set", str(connection.exec_driver_sql(_CHARSET).scalar_one()))

    def unneeded_privileges(self, connection: Connection, tables: Sequence[str]) -> Iterator[str]:
        del tables
        if "DBA" in connection.exec_driver_sql(_ROLES).scalars().all():
            yield "the role DBA"
        owner, user = connection.exec_driver_sql(_OWNER).one()
        if owner == user:
            yield "ownership of the tables"
