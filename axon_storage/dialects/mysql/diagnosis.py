"""What ``axon-storage doctor`` asks MySQL and MariaDB."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, text

from axon_storage.dialects.diagnosis import ConnectionCount, ServerDiagnosis
from axon_storage.model.findings import Finding, ok_unless

_VARIABLES = """
SHOW VARIABLES WHERE variable_name IN ('sql_mode', 'transaction_isolation', 'tx_isolation', 'character_set_client',
'max_allowed_packet', 'wait_timeout', 'innodb_lock_wait_timeout', 'max_execution_time', 'max_statement_time',
'max_connections', 'max_user_connections', 'innodb_flush_log_at_trx_commit')
"""
_ALL_PRIVILEGES = "SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = :grantee"
_FREE_SPACE = """
SELECT table_name, data_length + index_length, data_free FROM information_schema.tables
WHERE table_schema = DATABASE()
"""
_FREE_BYTES_OF_CONCERN = 2**28
_SHORT_IDLE_SECONDS = 60


class MySQLDiagnosis(ServerDiagnosis):
    """The settings, connections and free space of MySQL."""

    tested_servers = ("9.7",)
    tested_drivers = {"aiomysql": "0.3", "asyncmy": "0.2"}

    def settings(self, connection: Connection) -> Iterator[Finding]:
        found = _variables(connection)
        yield ok_unless("sql_mode", found["sql_mode"])
        isolation = found.get("transaction_isolation") or found.get("tx_isolation", "")
        yield ok_unless("isolation", isolation)
        yield ok_unless("character set", found["character_set_client"])
        yield ok_unless("max_allowed_packet", f"{int(found['max_allowed_packet']) // 2**20} MiB")
        idle = int(found["wait_timeout"])
        often = "connections are closed, and opened again, often: raise wait_timeout"
        yield ok_unless("wait_timeout", f"{idle} s", warn=often if idle < _SHORT_IDLE_SECONDS else "")
        yield ok_unless("innodb_lock_wait_timeout", f"{found['innodb_lock_wait_timeout']} s")
        for name in ("max_execution_time", "max_statement_time"):
            if float(found.get(name, 0)):
                yield ok_unless(name, found[name], warn="it ends long calls; it should exceed operation_timeout")

    def dead_space(self, connection: Connection, tables: Sequence[str]) -> Iterator[Finding]:
        for name, size, free in connection.execute(text(_FREE_SPACE)):
            if name in tables and free > _FREE_BYTES_OF_CONCERN and free > size:
                found = f"{name}: {free // 2**20:,} MiB free, {size // 2**20:,} MiB used"
                yield ok_unless("free space", found, warn=f"OPTIMIZE TABLE {name} returns it to the file system")

    def clock(self, connection: Connection) -> datetime | None:
        now: datetime = connection.execute(text("SELECT UTC_TIMESTAMP(6)")).scalar_one()
        return now.replace(tzinfo=UTC)

    def connection_count(self, connection: Connection) -> ConnectionCount | None:
        found = _variables(connection)
        connected: Any = connection.execute(text("SHOW GLOBAL STATUS LIKE 'Threads_connected'")).one()[1]
        server = ConnectionCount(int(connected), int(found["max_connections"]))
        # the session's value is the limit of the account, or else that of the server for each account
        limit = int(found["max_user_connections"])
        if not limit:
            return server
        processes = connection.execute(text("SHOW PROCESSLIST")).mappings()  # without rights, those of this account
        own = sum([process["User"] == _account(connection)[0] for process in processes])
        return min(server, ConnectionCount(own, limit, "this account's"), key=attrgetter("free"))

    def administrator(self, connection: Connection) -> str:
        user, host = _account(connection)
        privileges = connection.execute(text(_ALL_PRIVILEGES), {"grantee": f"'{user}'@'{host}'"})
        return "SUPER" if "SUPER" in privileges.scalars().all() else ""


def _account(connection: Connection) -> tuple[str, str]:
    """Return the user and the host of the account."""
    user, _, host = str(connection.execute(text("SELECT CURRENT_USER()")).scalar_one()).rpartition("@")
    return user, host


def _variables(connection: Connection) -> dict[str, str]:
    return {name: value for name, value in connection.execute(text(_VARIABLES))}  # noqa: C416  # rows, not pairs
