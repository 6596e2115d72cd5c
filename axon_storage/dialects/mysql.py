"""MySQL and MariaDB through aiomysql or asyncmy: one dialect, two sets of collations."""

import re
import select as system
from asyncio import BaseTransport
from collections.abc import Awaitable, Callable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Executable, Index, Select, Table, func, select, text
from sqlalchemy.dialects.mysql import CHAR, DATETIME, LONGTEXT, VARCHAR, insert
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.types import TypeEngine

from axon_storage.dialects.base import (
    Dialect,
    Tls,
    UnsupportedServer,
    any_key,
    execute,
    replaced,
    take_application_name,
)

_CHARSET = "utf8mb4"
_SMALLEST_PACKET = 16 * 2**20
_STRICT = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO"

# Where the server sets these otherwise, lists lose rows without an error, and a COMMIT or ROLLBACK begins another
# transaction or ends the connection.
_SESSION = "sql_select_limit = 18446744073709551615, completion_type = 0"

# a server's greeting says with this bit that it has TLS
_TLS_CAPABILITY = 1 << 11
_NO_TLS = "2026"

# where the system has it, as Linux does; elsewhere the first statement finds out
_HUNG_UP = getattr(system, "POLLRDHUP", None)

# what SQLAlchemy writes for MySQL 8.0.20 and later, and the drivers' own batching does not recognise
_ROW_ALIAS = re.compile(r"(INSERT INTO .+? VALUES )(\([%s, ]+\))( AS new [^%]*)", re.DOTALL)


_AMISS = """
SELECT CONCAT('trigger ', trigger_name), 'there' FROM information_schema.triggers
WHERE event_object_schema = DATABASE() AND event_object_table = :table
UNION ALL SELECT CONCAT('index ', index_name, ', order'), CONCAT(column_name, ' descending')
FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = :table AND collation = 'D'
"""


# SHOW, since a relative of MySQL that does not have one of them refuses to SELECT it
_DURABILITY = """
SHOW GLOBAL VARIABLES WHERE variable_name IN ('innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog')
"""


class MySQL(Dialect):
    """InnoDB at READ COMMITTED in strict mode; collations that compare code points and do not pad."""

    title = "MySQL"
    schemes = {
        scheme + suffix: "mysql+" + (suffix[1:] or "aiomysql")
        for scheme in ("mysql", "mariadb")
        for suffix in ("", "+aiomysql", "+asyncmy")
    }
    extras = {"aiomysql": "mysql", "asyncmy": "asyncmy"}
    driver_modules = frozenset({"aiomysql", "pymysql", "asyncmy"})
    collation = "utf8mb4_0900_bin"
    session_isolation = "READ COMMITTED"

    # From MySQL's and MariaDB's error references. Too many connections, access denied, no such database, unknown
    # host, shutting down, network errors, authentication, aborted connection; the 2000s are the client's own.
    connection_codes = frozenset(
        {"0", "1040", "1042", "1043", "1044", "1045", "1047", "1049", "1053", "1129", "1130", "1152", "1158", "1159"}
        | {"1160", "1161", "1184", "1203", "1226", "1251", "1290", "1698", "1836", "1862", "1927", "3118", "4031"}
        | {"2002", "2003", "2005", "2006", "2013", "2014", "2026", "2049", "2055", "2059", "2061"}
    )
    # Deadlock (also a lost certification on Galera), lock wait time-out, Galera not ready, record changed (MariaDB),
    # Group Replication's 3100, 3101 and 1180, read-only after a fail-over, and what passes by itself of the above.
    transient_codes = frozenset(
        {"1213", "1205", "1047", "1020", "3100", "3101", "1180", "1290", "1836", "1792"}
        | {"0", "1040", "1042", "1053", "1152", "1158", "1159", "1160", "1161", "1184", "1203", "1226", "1927", "4031"}
        | {"2002", "2003", "2006", "2013", "2014", "2055"}
    )

    commit_outlives_cancellation = True
    lock_timeout_codes = frozenset({"1205", "3572"})
    missing_index_codes = frozenset({"1176"})
    brief_lock_waits = ("SET SESSION innodb_lock_wait_timeout = 1",)  # whole seconds, at least one

    def identifier(self, length: int) -> TypeEngine[str]:
        return VARCHAR(length, charset=_CHARSET, collation=self.collation)

    def long_text(self) -> TypeEngine[str]:
        return LONGTEXT(charset=_CHARSET, collation=self.collation)

    def timestamp(self) -> TypeEngine[Any]:
        return DATETIME(fsp=6)

    def row_id(self) -> TypeEngine[Any]:
        return CHAR(32, charset="ascii", collation="ascii_bin")

    def normalised_type(self, kind: str) -> str:
        # MariaDB tells how wide an integer is shown, and BOOL is a synonym
        return re.sub(r"^(BIGINT|INTEGER)\(\d+\)", r"\1", kind).replace("TINYINT(1)", "BOOL")

    def extra_differences(self, connection: Connection, table: str) -> Iterator[tuple[str, str]]:
        for what, state in connection.execute(text(_AMISS), {"table": table}):
            yield f"{table}, {what}", state

    def durability_problems(self, connection: Connection) -> Iterator[str]:
        found = {name: value for name, value in connection.exec_driver_sql(_DURABILITY)}  # noqa: C416  # rows, not pairs
        flush, sync = found.get("innodb_flush_log_at_trx_commit", "1"), found.get("sync_binlog", "1")
        if flush not in {"1", "3"}:  # MariaDB's 3 syncs once more
            yield f"innodb_flush_log_at_trx_commit is {flush}"
        # after a crash InnoDB rolls back what it does not find in the binary log
        if found.get("log_bin") == "ON" and sync != "1":
            yield f"sync_binlog is {sync}"

    def upsert(self, table: Table) -> Executable:
        statement = insert(table)
        return statement.on_duplicate_key_update({name: statement.inserted[name] for name in replaced(table)})

    def insert_once(self, table: Table) -> Executable:
        # never INSERT IGNORE, which also cuts and clamps values
        return insert(table).on_duplicate_key_update({"id": table.c["id"]})

    def by_index(self, statement: Select[Any], table: Table, index: Index) -> Select[Any]:
        # Left to itself, the planner walks the primary key for a topic it thinks frequent, past however many others.
        hint = f"FORCE INDEX ({index.name})"
        return statement.with_hint(table, hint, "mysql").with_hint(table, hint, "mariadb")

    def locks_rows_first(self, *, contended: bool) -> bool:
        # it costs a fifth of the speed, so only where a transaction may well meet a batch in a deadlock
        return contended

    def lock_rows(self, connection: Connection, table: Table, keys: Sequence[tuple[Any, ...]]) -> None:
        # not through SQLAlchemy, which takes longer to expand the lists than the server takes to lock the rows
        quote = connection.dialect.identifier_preparer.quote
        names = [quote(column.name) for column in table.primary_key]
        condition, parameters = any_key(names, keys, lambda _number: "%s")
        # the primary key, since a scan of the table would meet the locks of other rows
        rows = f"{quote(table.name)} FORCE INDEX (PRIMARY) WHERE {condition}"
        connection.exec_driver_sql(f"SELECT COUNT(*) FROM {rows} FOR UPDATE NOWAIT", parameters)  # noqa: S608  # ours

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        url = url.update_query_dict({"charset": _CHARSET})
        # before SQLAlchemy looks how to quote and rolls back: the server's own mode may be ANSI, and end the connection
        session = f"SET SESSION sql_mode = '{_STRICT}', {_SESSION}"
        url, name = take_application_name(url, "program_name")
        arguments: dict[str, Any] = {"connect_timeout": timeout, "init_command": session, "program_name": name}
        if tls is not None and tls.context is not None:
            arguments["ssl"] = tls.context
        return url, arguments

    def tls_options(self, driver: Any) -> dict[str, Any]:
        return {"async_creator_fn": _insisting_on_tls(driver.aiomysql)} if hasattr(driver, "aiomysql") else {}

    def says_no_tls(self, error: BaseException) -> bool:
        # bad handshake, MySQL's answer to a client that goes on to TLS all the same, and ours for a greeting without
        return self.is_driver_error(error) and self.code(error) in {"1043", _NO_TLS}

    def on_connect(self, connection: DBAPIConnection) -> None:
        select = "SELECT @@sql_mode, @@character_set_client, @@max_allowed_packet"
        mode, charset, packet = execute(connection, select)
        # SQLAlchemy quotes as the server told it to at its first connection, which was before this
        quotes = ",ANSI_QUOTES" if "ANSI_QUOTES" in mode else ""
        execute(connection, f"SET SESSION sql_mode = '{_STRICT}{quotes}', {_SESSION}")
        execute(connection, f"SET SESSION TRANSACTION ISOLATION LEVEL {self.session_isolation}")
        if charset != _CHARSET:
            raise UnsupportedServer(f"the connection's character set is {charset}: add charset={_CHARSET} to the URL")
        if packet < _SMALLEST_PACKET:
            raise UnsupportedServer(f"max_allowed_packet is {packet} bytes, and must be at least {_SMALLEST_PACKET}")

    def is_lost(self, connection: DBAPIConnection) -> bool:
        driver: Any = connection.driver_connection
        if hasattr(driver, "_transport"):  # asyncmy's
            return driver._transport is None or _is_hung_up(driver._transport)
        return driver._writer is None or _is_hung_up(driver._writer.transport)

    def on_checkout(self, connection: DBAPIConnection) -> None:
        # the server's last answer told the driver whether it is on, so nothing is sent where it is off
        if connection.get_autocommit():
            connection.autocommit(False)

    def executemany(self, cursor: Any, statement: str, parameters: Sequence[Any]) -> bool:
        if not (match := _ROW_ALIAS.fullmatch(statement)):
            return False
        head, row, tail = match.groups()
        cursor.execute(head + ", ".join([row] * len(parameters)) + tail, [value for row in parameters for value in row])
        return True

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
        del statement  # MySQL bounds SELECT alone
        seconds = max(1, round(lock))
        return [f"SET SESSION lock_wait_timeout = {seconds}", f"SET SESSION innodb_lock_wait_timeout = {seconds}"]

    def online_index(self, create: str, name: str, *, there: bool) -> list[str]:
        return [f"{line} ALGORITHM=INPLACE LOCK=NONE" for line in super().online_index(create, name, there=there)]

    def code(self, error: BaseException) -> str:
        return str(error.args[0]) if error.args and isinstance(error.args[0], int) else ""


class MariaDB(MySQL):
    """MariaDB names its code-point collation otherwise, and bounds any statement."""

    title = "MariaDB"
    collation = "utf8mb4_nopad_bin"
    brief_lock_waits = (
        "SET SESSION innodb_lock_wait_timeout = 0",
    )  # it does not wait at all, which MySQL cannot be told

    def locks_rows_first(self, *, contended: bool) -> bool:
        del contended
        return False

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        return [*super().migration_settings(lock, statement), f"SET SESSION max_statement_time = {statement}"]


def _schema_lock_name(connection: Connection) -> str:
    """The lock's name: locks are the server's, and a name may have 64 characters, as many as a database's."""
    database = connection.exec_driver_sql("SELECT DATABASE()").scalar_one()
    return f"axon_storage:{sha256(str(database).encode()).hexdigest()[:40]}"


def _is_hung_up(transport: BaseTransport) -> bool:
    """Whether the server has closed its side of a connection, by what the operating system knows.

    The drivers look when they read the next answer, and the server's last word, that the connection was idle for too
    long (4031), hides the end from asyncio's own reader.
    """
    if transport.is_closing():
        return True
    if _HUNG_UP is None:
        return False
    watch = system.poll()
    watch.register(transport.get_extra_info("socket"), _HUNG_UP)
    return bool(watch.poll(0))


def _insisting_on_tls(aiomysql: Any) -> Callable[..., Awaitable[Any]]:
    """Connects as aiomysql does, but not on to the password, in plain text, where the server's greeting has no TLS."""

    class Connection(aiomysql.Connection):  # type: ignore[misc]  # aiomysql is untyped
        async def _request_authentication(self) -> None:
            if not self.server_capabilities & _TLS_CAPABILITY:
                raise aiomysql.OperationalError(int(_NO_TLS), "the server offers no TLS")
            await super()._request_authentication()

    async def connect(**options: Any) -> Any:
        connection = Connection(**options)
        await connection._connect()
        return connection

    return connect
