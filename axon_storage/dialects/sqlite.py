"""SQLite through aiosqlite: the embedded default."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection

from axon_storage.dialects.base import Tls, UnsupportedServer, execute
from axon_storage.dialects.on_conflict import OnConflict

_WRITES = "axon_storage_writes"
_ALONE = "axon_storage_alone"
_BUSY_SECONDS = 30


class SQLite(OnConflict):
    """One file, one writer at a time, write-ahead log, synced at every commit."""

    title = "SQLite"
    schemes = {"sqlite": "sqlite+aiosqlite", "sqlite+aiosqlite": "sqlite+aiosqlite"}
    driver_modules = frozenset({"sqlite3", "aiosqlite"})
    insert = Insert
    serial_writes = True
    in_autocommit = True
    embedded = True
    upgrades_in_one_transaction = True
    script_begins = ".bail on"  # the shell goes on after an error
    write_options = {_WRITES: True}
    autocommit_options = {_ALONE: True}

    # SQLITE_IOERR, NOTADB, CANTOPEN, PROTOCOL and CORRUPT
    connection_codes = frozenset({"10", "26", "14", "15", "11"})
    # SQLITE_BUSY, LOCKED and PROTOCOL (a lost race for the write-ahead log)
    transient_codes = frozenset({"5", "6", "15"})

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        del timeout  # opening a file does not wait
        if tls is not None and tls.context is not None:
            raise UnsupportedServer("SQLite has no TLS: take the ssl parameters out of the URL")
        return url, {"async_creator_fn": _connect}

    def allows_autocommit(self, arguments: Mapping[str, Any]) -> bool:
        # on a connection of another kind a statement that is cancelled goes on, and may so be run late
        return arguments.get("async_creator_fn") is _connect

    def extra_differences(self, connection: Connection, table: str) -> Iterator[tuple[str, str]]:
        query = text("SELECT type, name, coalesce(sql, '') FROM sqlite_master WHERE tbl_name = :table")
        for kind, name, sql in connection.execute(query, {"table": table}):
            if kind == "trigger":
                yield f"{table}, trigger {name}", "there"
            for odd in re.findall(r"(?i)\bCOLLATE\s+\S+|\bDESC\b", sql):
                yield f"{table}, {kind} {name}, order", odd

    def check_url(self, url: URL) -> None:
        if not url.database or ":memory:" in url.database or url.query.get("mode") == "memory":
            raise UnsupportedServer(
                "SQLite's :memory: is refused, since its one connection mixes transactions: give it a file"
            )

    def on_connect(self, connection: DBAPIConnection) -> None:
        execute(connection, f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
        if (encoding := execute(connection, "PRAGMA encoding")[0]) != "UTF-8":
            raise UnsupportedServer(f"the file's encoding is {encoding}, which sorts otherwise; it must be UTF-8")
        if (mode := execute(connection, "PRAGMA journal_mode = WAL")[0]) != "wal":
            raise UnsupportedServer(
                f"SQLite's journal mode stays {mode!r}: the write-ahead log needs a local, writable file"
            )
        execute(connection, "PRAGMA synchronous = FULL")

    def on_checkout(self, connection: DBAPIConnection) -> None:
        # The driver would begin transactions by itself, and never IMMEDIATE. So it is when new, and again when the
        # isolation level that a host had set on it is over.
        if connection.isolation_level is not None:
            connection.isolation_level = None

    def discard(self, connection: DBAPIConnection) -> None:
        # A cancelled call's cursor may outlive the close, and SQLite then keeps the transaction, and its lock, with it.
        # A further cancellation comes too late: the rollback is on its way.
        driver: Any = connection.driver_connection
        with suppress(Exception, asyncio.CancelledError):
            if hasattr(driver, "discard"):  # a connection of ours; that of others is not interrupted
                connection.run_async(lambda _: driver.discard())
            else:
                connection.rollback()

    def begin(self, connection: Connection) -> None:
        options = connection.get_execution_options()
        if _ALONE not in options:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if _WRITES in options else "BEGIN")

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        del statement  # SQLite bounds no statement
        return [f"PRAGMA busy_timeout = {lock * 1000:.0f}"]

    def code(self, error: BaseException) -> str:
        code = getattr(error, "sqlite_errorcode", None)
        return "" if code is None else str(code & 0xFF)  # the primary code; the rest is detail


def _connect(database: str, **options: Any) -> Any:
    from axon_storage.dialects.aiosqlite_connection import connect  # noqa: PLC0415  # a driver, for who uses it

    return connect(database, **options)
