"""What a migration needs of Oracle."""

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from axon_storage.dialects.migration import MigrationSupport

_LOCK_TABLE = "axon_storage_lock"


class OracleMigration(MigrationSupport):
    """The lock table, timeouts and online indexes of Oracle."""

    schema_lock_has_own_connection = True
    script_begins = "SET DEFINE OFF\nWHENEVER SQLERROR EXIT FAILURE ROLLBACK"
    script_ends = "COMMIT"

    def acquire_schema_lock(self, connection: Connection) -> bool:
        # the lock is a locked row, because DBMS_LOCK needs a grant
        query = f"SELECT id FROM {_LOCK_TABLE} WHERE id = 1 FOR UPDATE NOWAIT"  # noqa: S608  # fixed names
        try:
            if connection.exec_driver_sql(query).first() is not None:
                return True
        except DBAPIError as error:
            if self._code_of(error) not in {"ORA-00054", "ORA-00942"}:
                raise
            if self._code_of(error) == "ORA-00054":
                return False
        self._make_lock_table(connection)
        return False

    def record_schema_lock_holder(self, connection: Connection, who: str) -> None:
        connection.execute(text(f"UPDATE {_LOCK_TABLE} SET holder = :who WHERE id = 2"), {"who": who})  # noqa: S608  # ours

    def schema_lock_holder(self, connection: Connection) -> str:
        return str(connection.exec_driver_sql(f"SELECT holder FROM {_LOCK_TABLE} WHERE id = 2").scalar())  # noqa: S608  # ours

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        del statement  # only the driver can limit a call
        return [f"ALTER SESSION SET ddl_lock_timeout = {max(1, round(lock))}"]

    def online_index(self, create: str, name: str, *, there: bool) -> list[str]:
        # Standard Edition 2 does not have it (ORA-00439), see docs/oracle.md
        return [f"{line} ONLINE" for line in super().online_index(create, name, there=there)]

    def _make_lock_table(self, connection: Connection) -> None:
        """Create the lock's table, unless it exists. Its first row is the lock, its second row says who holds it."""
        columns = f"id NUMBER(1) NOT NULL, holder VARCHAR2(255 CHAR), CONSTRAINT pk_{_LOCK_TABLE} PRIMARY KEY (id)"
        rows = [f"INSERT INTO {_LOCK_TABLE} (id, holder) VALUES ({row}, 'nobody')" for row in (1, 2)]  # noqa: S608  # ours
        for statement in (f"CREATE TABLE {_LOCK_TABLE} ({columns})", *rows):
            try:
                connection.exec_driver_sql(statement)
            except DBAPIError as error:
                if self._code_of(error) not in {"ORA-00955", "ORA-00001"}:
                    raise
        connection.commit()

    def _code_of(self, error: DBAPIError) -> str:
        return "" if error.orig is None else self.code(error.orig)
