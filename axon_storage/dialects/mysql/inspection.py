"""What MySQL and MariaDB tell about a server and its tables."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection

from axon_storage.dialects.inspection import ServerInspection, TableSize

# MySQL may answer with estimates that are up to a day old (information_schema_stats_expiry)
_SIZES = """
SELECT table_name, table_rows, data_length + index_length FROM information_schema.tables WHERE table_schema = DATABASE()
"""

# SHOW rather than SELECT, because some MySQL-compatible servers do not have all of these variables
_DURABILITY_VARIABLES = """
SHOW GLOBAL VARIABLES WHERE variable_name IN ('innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog')
"""


class MySQLInspection(ServerInspection):
    """The settings of a MySQL or MariaDB server."""

    def durability_problems(self, connection: Connection) -> Iterator[str]:
        found = {name: value for name, value in connection.exec_driver_sql(_DURABILITY_VARIABLES)}  # noqa: C416  # rows, not pairs
        flush, sync = found.get("innodb_flush_log_at_trx_commit", "1"), found.get("sync_binlog", "1")
        if flush not in {"1", "3"}:  # 3 is MariaDB's, and syncs too
            yield f"innodb_flush_log_at_trx_commit is {flush}"
        # after a crash InnoDB rolls back the transactions that the binary log has lost
        if found.get("log_bin") == "ON" and sync != "1":
            yield f"sync_binlog is {sync}"

    def table_sizes(self, connection: Connection, names: Sequence[str]) -> Mapping[str, TableSize]:
        found = connection.exec_driver_sql(_SIZES)
        return {name: TableSize(rows, size) for name, rows, size in found if name in names}

    def is_read_only(self, connection: Connection) -> bool:
        # super_read_only sets read_only too. Later versions of MariaDB return some of its values as words.
        found = connection.exec_driver_sql("SELECT @@global.read_only, @@global.innodb_read_only").one()
        return any(str(value) not in {"0", "OFF"} for value in found)
