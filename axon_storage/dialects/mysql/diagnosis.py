"""What ``axon-storage doctor`` asks MySQL and MariaDB."""

import re
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
_GRANT = re.compile(r"GRANT (?P<privileges>.+?) ON (?P<on>.+?) TO .*?(?P<options>(?: WITH .*)?)$", re.DOTALL)
_COLUMNS = re.compile(r" \([^)]*\)")
_OF_ROWS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_SHOWN = 6
_FREE_SPACE = """
SELECT table_name, data_length + index_length, data_free FROM information_schema.tables
WHERE table_schema = DATABASE()
"""
_FREE_BYTES_OF_CONCERN = 2**28
_SHORT_IDLE_SECONDS = 60


class MySQLDiagnosis(ServerDiagnosis):
    """The settings, connections and free space of MySQL."""

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

    def unneeded_privileges(self, connection: Connection, tables: Sequence[str]) -> Iterator[str]:
        del tables
        for grant in connection.exec_driver_sql("SHOW GRANTS").scalars():  # with those of the roles of the account
            found = _GRANT.match(grant)
            unneeded = _unneeded(found) if found else []
            if found and unneeded and _is_here(connection, found["on"]):
                others = f" and {len(unneeded) - _SHOWN} others" if len(unneeded) > _SHOWN else ""
                yield f"{', '.join(unneeded[:_SHOWN])}{others} on {found['on']}"


def _account(connection: Connection) -> tuple[str, str]:
    """Return the user and the host of the account."""
    user, _, host = str(connection.execute(text("SELECT CURRENT_USER()")).scalar_one()).rpartition("@")
    return user, host


def _unneeded(grant: re.Match[str]) -> list[str]:
    """Return the privileges of a grant that do more than read and change rows of a table or a database."""
    of_server = grant["on"] == "*.*"
    names = [name.strip() for name in _COLUMNS.sub("", grant["privileges"]).split(",")]
    unneeded = [name for name in names if name != "USAGE" and (of_server or name not in _OF_ROWS)]
    return [*unneeded, *(["GRANT OPTION"] if "GRANT OPTION" in grant["options"] else [])]


def _is_here(connection: Connection, target: str) -> bool:
    """Return whether a grant is for the whole server, for this database or for something in it."""
    pattern = target.partition("`.")[0].removeprefix("`").replace("``", "`")
    here = connection.execute(text("SELECT DATABASE() LIKE :pattern"), {"pattern": pattern}).scalar_one()
    return bool(here) or not target.startswith("`")


def _variables(connection: Connection) -> dict[str, str]:
    return {name: value for name, value in connection.execute(text(_VARIABLES))}  # noqa: C416  # rows, not pairs
