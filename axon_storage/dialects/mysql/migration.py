"""What a migration needs of MySQL and MariaDB."""

from collections.abc import Iterator
from hashlib import sha256

from sqlalchemy import Connection, func, select, text

from axon_storage.dialects.migration import MigrationSupport

_TRIGGERS_AND_DESCENDING_INDEXES = """
SELECT CONCAT('trigger ', trigger_name), 'there' FROM information_schema.triggers
WHERE event_object_schema = DATABASE() AND event_object_table = :table
UNION ALL SELECT CONCAT('index ', index_name, ', order'), CONCAT(column_name, ' descending')
FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = :table AND collation = 'D'
UNION ALL SELECT 'storage engine', engine
FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = :table AND engine <> 'InnoDB'
"""


class MySQLMigration(MigrationSupport):
    """The named lock, timeouts, online indexes, the options and the comparison of MySQL's tables."""

    # the row format too, because a server's default may allow only shorter keys
    table_options = {
        f"{name}_{option}": value
        for name in ("mysql", "mariadb")  # a script for a mariadb:// URL uses the second
        for option, value in {"engine": "InnoDB", "charset": "utf8mb4", "row_format": "DYNAMIC"}.items()
    }

    def extra_differences(self, connection: Connection, table: str) -> Iterator[tuple[str, str]]:
        for what, state in connection.execute(text(_TRIGGERS_AND_DESCENDING_INDEXES), {"table": table}):
            yield f"{table}, {what}", state

    def acquire_schema_lock(self, connection: Connection) -> bool:
        taken = connection.execute(select(func.get_lock(_schema_lock_name(connection), 0))).scalar_one()
        connection.commit()
        return bool(taken)

    def schema_lock_holder(self, connection: Connection) -> str:
        holder = connection.execute(select(func.is_used_lock(_schema_lock_name(connection)))).scalar()
        for process in connection.exec_driver_sql("SHOW PROCESSLIST").mappings():
            if process["Id"] == holder:
                return f"{process['User']} from {process['Host']}, connection {holder}"
        return "it has just ended" if holder is None else f"connection {holder}"

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        del statement  # MySQL can limit only SELECT
        seconds = max(1, round(lock))
        select = "/*!80000 , max_execution_time = 0 */"  # MariaDB does not read this comment
        return [
            f"SET SESSION lock_wait_timeout = {seconds} {select}",
            f"SET SESSION innodb_lock_wait_timeout = {seconds}",
        ]

    def online_index(self, create: str, name: str, *, there: bool) -> list[str]:
        return [f"{line} ALGORITHM=INPLACE LOCK=NONE" for line in super().online_index(create, name, there=there)]


class MariaDBMigration(MySQLMigration):
    """MariaDB also limits the time of a statement."""

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        return [*super().migration_settings(lock, statement), f"SET SESSION max_statement_time = {statement}"]


def _schema_lock_name(connection: Connection) -> str:
    """Return the name of this database's lock.

    Locks belong to the server, so the name must contain the database's. That is hashed, because it may have 64
    characters, which is also the limit for a lock's name.
    """
    database = connection.exec_driver_sql("SELECT DATABASE()").scalar_one()
    return f"axon_storage:{sha256(str(database).encode()).hexdigest()[:40]}"
