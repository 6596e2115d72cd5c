"""SQLite, with the driver aiosqlite."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, func, literal_column, type_coerce
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection

from axon_storage.dialects.base import Tls, UnsupportedServer
from axon_storage.dialects.error_codes import sqlite as codes
from axon_storage.dialects.on_conflict import OnConflict
from axon_storage.dialects.sqlite.backup import SQLiteBackup
from axon_storage.dialects.sqlite.diagnosis import SQLiteDiagnosis
from axon_storage.dialects.sqlite.driver_calls import SQLiteDriverCalls
from axon_storage.dialects.sqlite.grants import SQLiteGrants
from axon_storage.dialects.sqlite.inspection import SQLiteInspection
from axon_storage.dialects.sqlite.migration import SQLiteMigration
from axon_storage.dialects.sqlite.versions import SQLiteVersions
from axon_storage.dialects.statements import ID_TIME_DIGITS, execute, from_hexadecimal, take_application_name

_WRITES = "axon_storage_writes"
_AUTOCOMMIT = "axon_storage_autocommit"
_BUSY_SECONDS = 30

_PARAMETERS = {"timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements"}
"""The parameters of URLs that SQLAlchemy passes on. Without ``uri``, it ignores others with a warning."""

_WRITABLE = "the folder must exist, and this account must be able to write to it and to the file"

# messages that contain only names
_ONLY_NAMES = re.compile(r"[A-Z]+(?: [A-Z]+)? constraint failed: [\w., ]+|no such \w+: [\w.]+")


class SQLite(
    SQLiteMigration,
    SQLiteInspection,
    SQLiteDiagnosis,
    SQLiteBackup,
    SQLiteGrants,
    SQLiteDriverCalls,
    SQLiteVersions,
    OnConflict,
):
    """SQLite: a file with a write-ahead log that is synced at every commit, and one writer at a time."""

    title = "SQLite"
    system_name = "sqlite"
    schemes = {"sqlite": "sqlite+aiosqlite", "sqlite+aiosqlite": "sqlite+aiosqlite"}
    driver_modules = frozenset({"sqlite3", "aiosqlite"})
    insert = Insert
    serial_writes = True
    in_autocommit = True
    embedded = True
    write_options = {_WRITES: True}
    autocommit_options = {_AUTOCOMMIT: True}

    connection_codes = {**codes.PASSING, **codes.PERMANENT}
    transient_codes = {**codes.PASSING, **codes.RETRYABLE}
    codes_without_values = codes.WITHOUT_VALUES

    def id_milliseconds(self, column: ColumnElement[Any]) -> ColumnElement[int]:
        return literal_column(from_hexadecimal(str(column), ID_TIME_DIGITS, "INTEGER"), BigInteger())

    def exact_sum(self, column: ColumnElement[Any]) -> Sequence[tuple[int, ColumnElement[int]]]:
        # SUM fails at 2^63, so the high and the low 32 bits are added separately.
        stored, mask = type_coerce(column, BigInteger()), literal_column("4294967295", BigInteger())
        high = stored.bitwise_rshift(literal_column("32", BigInteger())).bitwise_and(mask)
        return [(2**32, func.sum(high)), (1, func.sum(stored.bitwise_and(mask)))]

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        del timeout  # opening a file does not wait
        if tls is not None and tls.context is not None:
            raise UnsupportedServer("SQLite has no TLS: take the ssl parameters out of the URL")
        url, _ = take_application_name(url, "application_name")  # a file has no list of connections that shows it
        if "uri" not in url.query and (unknown := sorted(set(url.query) - _PARAMETERS)):
            raise UnsupportedServer(f"SQLite's URLs have no parameter {unknown[0][:40]}: take it out of the URL")
        return url, {"async_creator_fn": _connect}

    def allows_autocommit(self, arguments: Mapping[str, Any]) -> bool:
        # a cancelled statement ends only on this package's connections
        return arguments.get("async_creator_fn") is _connect

    def check_url(self, url: URL) -> None:
        if not url.database or ":memory:" in url.database or url.query.get("mode") == "memory":
            raise UnsupportedServer(
                "SQLite's :memory: is refused, because its one connection would mix transactions: use a file"
            )
        if "mode" in url.query and "uri" not in url.query:  # the driver would ignore it
            raise UnsupportedServer("SQLite's parameter mode needs the form sqlite:///file:agents.db?mode=ro&uri=true")

    def on_connect(self, connection: DBAPIConnection) -> None:
        execute(connection, f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000}")
        if (encoding := execute(connection, "PRAGMA encoding")[0]) != "UTF-8":
            raise UnsupportedServer(f"the file's encoding is {encoding}, which sorts differently: it must be UTF-8")
        if (mode := execute(connection, "PRAGMA journal_mode = WAL")[0]) != "wal":
            raise UnsupportedServer(
                f"SQLite's journal mode stays {mode!r}: the write-ahead log needs a local, writable file"
            )
        execute(connection, "PRAGMA synchronous = FULL")

    def on_checkout(self, connection: DBAPIConnection) -> None:
        # With an isolation level the driver begins transactions by itself, and never IMMEDIATE. New connections have
        # one, and the host application may set one.
        if connection.isolation_level is not None:
            connection.isolation_level = None

    def discard(self, connection: DBAPIConnection) -> None:
        # The cursor of a cancelled call may still be open after the connection is closed, and SQLite would keep the
        # transaction and its lock. Another cancellation is ignored, because the thread has started the rollback.
        driver: Any = connection.driver_connection
        with suppress(Exception, asyncio.CancelledError):
            if hasattr(driver, "discard"):  # this package's connection; others are not interrupted
                connection.run_async(lambda _: driver.discard())
            else:
                connection.rollback()

    def begin(self, connection: Connection) -> None:
        options = connection.get_execution_options()
        if _AUTOCOMMIT not in options:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if _WRITES in options else "BEGIN")

    def code(self, error: BaseException) -> str:
        code = getattr(error, "sqlite_errorcode", None)
        return "" if code is None else str(code & 0xFF)  # the primary code, without the bits of the extended code

    def redact(self, code: str, message: str) -> str:
        if code == "19" and "constraint failed" not in message:  # RAISE in a trigger
            return "an error that a trigger has raised"
        if code in codes.UNWRITABLE and not message.endswith(_WRITABLE):
            return f"{message}: {_WRITABLE}"
        return message if _ONLY_NAMES.fullmatch(message) else super().redact(code, message)


def _connect(database: str, **options: Any) -> Any:
    from axon_storage.dialects.aiosqlite_connection import connect  # noqa: PLC0415  # a driver, imported when used

    return connect(database, **options)
