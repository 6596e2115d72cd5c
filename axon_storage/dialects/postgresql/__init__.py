"""PostgreSQL, with the driver asyncpg."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Delete,
    Executable,
    Select,
    String,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, Insert
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.types import TypeEngine
from sqlalchemy.util import await_only

from axon_storage.dialects.base import Tls, UnsupportedServer
from axon_storage.dialects.error_codes import postgresql as codes
from axon_storage.dialects.errors import ErrorClass
from axon_storage.dialects.identity import Server, parameter
from axon_storage.dialects.on_conflict import OnConflict
from axon_storage.dialects.postgresql.backup import COPIES
from axon_storage.dialects.postgresql.diagnosis import PostgreSQLDiagnosis
from axon_storage.dialects.postgresql.distribution import PostgreSQLDistribution
from axon_storage.dialects.postgresql.driver_calls import PostgreSQLDriverCalls
from axon_storage.dialects.postgresql.grants import PostgreSQLGrants
from axon_storage.dialects.postgresql.inspection import PostgreSQLInspection
from axon_storage.dialects.postgresql.migration import PostgreSQLMigration
from axon_storage.dialects.postgresql.row_security import LACKS_TENANTS, PostgreSQLRowSecurity
from axon_storage.dialects.postgresql.session_limits import PostgreSQLLimits
from axon_storage.dialects.postgresql.versions import PostgreSQLVersions
from axon_storage.dialects.statements import take_application_name

_CACHES = frozenset({"statement_cache_size", "prepared_statement_cache_size"})

_SEARCH_PATH = "search_path"

# pgbouncer reports its own errors with the code of a protocol violation. These are permanent.
_POOLER_ERROR = "08P01"
_POOLER_REFUSAL = re.compile(
    "does not exist|authentication failed|no such (?:database|user)|unsupported startup parameter|not allowed"
    "|login rejected|TLS connection required"
)
_POOLER_LOGIN = "authentication failed"
_POOLER_HINT = (
    "behind a pooler add statement_cache_size=0&prepared_statement_cache_size=0 to the URL"
    " (or, for pgbouncer 1.21 and later, set its max_prepared_statements)"
)

_RAISED = "an error that a trigger or a function has raised"
_ARGUMENT = re.compile(r"invalid input for query argument \$\d+[^:]*")
_WITH_VALUES = frozenset({"detail", "hint", "context", "internal_query"})
"""Attributes of asyncpg's errors that may contain values."""


class _Json(JSON):
    """JSON that is read as text, because a host application may have set another JSON decoder for its engine."""

    cache_ok = True

    def adapt(self, cls: Any, **options: Any) -> Any:
        # SQLAlchemy 2.0 would use its own type for asyncpg instead, which decodes the JSON
        del cls
        return super().adapt(_Json, **options)

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return type_coerce(cast(column, Text), column.type)  # JsonDocument decodes it

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        del dialect, coltype


class PostgreSQL(
    PostgreSQLMigration,
    PostgreSQLInspection,
    PostgreSQLDiagnosis,
    PostgreSQLGrants,
    PostgreSQLRowSecurity,
    PostgreSQLLimits,
    PostgreSQLDistribution,
    PostgreSQLDriverCalls,
    PostgreSQLVersions,
    OnConflict,
):
    """PostgreSQL: READ COMMITTED, strings compared by code point, JSON stored as text."""

    title = "PostgreSQL"
    system_name = "postgresql"
    default_port = 5432
    session_attributes = {
        "read-write": ("SHOW transaction_read_only", {"off"}),
        "read-only": ("SHOW transaction_read_only", {"on"}),
        "primary": ("SELECT pg_is_in_recovery()", {"False"}),
        "standby": ("SELECT pg_is_in_recovery()", {"True"}),
    }
    backup_tool = "pg_dump --format=custom --file=FILE DATABASE"
    copies = COPIES
    unerased = ("dead rows until VACUUM, and archived write-ahead logs",)
    schemes = {
        "postgres": "postgresql+asyncpg",
        "postgresql": "postgresql+asyncpg",
        "postgresql+asyncpg": "postgresql+asyncpg",
    }
    extras = {"asyncpg": "postgresql"}
    driver_modules = frozenset({"asyncpg"})
    scheme_aliases = {"postgres": "postgresql"}
    insert = Insert
    refused_engine_options = frozenset({"isolation_level", "postgresql_readonly"})
    native_uuid = True
    has_timestamps_with_time_zone = True
    # part of BEGIN, so that it costs no round trip and works behind a pooler
    transaction_options = {"isolation_level": "READ COMMITTED"}
    autocommit_options = {"isolation_level": "AUTOCOMMIT"}

    connection_codes = {**codes.PASSING, **codes.PERMANENT}
    transient_codes = {**codes.PASSING, **codes.RETRYABLE}
    fail_over_codes = codes.FAIL_OVERS
    lock_timeout_codes = codes.LOCK_TIMEOUTS
    denied_codes = codes.DENIED
    login_codes = codes.LOGINS
    # Far below deadlock_timeout (1 s): if a transaction and a group commit wait for each other, the group commit fails,
    # and not the transaction.
    brief_lock_waits_local: ClassVar[Sequence[str]] = ("SET LOCAL lock_timeout = '1ms'",)

    def identifier(self, length: int) -> TypeEngine[str]:
        return String(length, collation="C")

    def long_text(self) -> TypeEngine[str]:
        return Text(collation="C")

    def json(self) -> TypeEngine[Any]:
        return _Json()

    def stored_size(self, column: ColumnElement[Any]) -> ColumnElement[int]:
        # unlike length(), it does not decompress the value
        return func.octet_length(cast(column, Text))

    def text_start(self, column: ColumnElement[Any]) -> ColumnElement[str]:
        return super().text_start(cast(column, Text))

    def batch(self, save: Insert, table: Table) -> Executable:
        # One statement with an array for each column is less work for client and server than asyncpg's executemany, is
        # atomic by itself, and is sent at once. A long executemany waits for room in the send buffer; if asyncpg is
        # cancelled there, it does not tell the server, and both wait for ever (0.32.0, bind_execute_many).
        arrays = [bindparam(column.name, type_=ARRAY(column.type)) for column in table.c]
        rows = func.unnest(*arrays).table_valued(*table.c.keys()).render_derived()
        return save.from_select(table.c.keys(), select(*rows.c))

    def batch_parameters(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        return {name: [row[name] for row in rows] for name in rows[0]}

    def in_list(self, column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
        # one statement for lists of any length, so that it is planned once
        return column == any_(bindparam(parameter, type_=ARRAY(column.type)))

    def in_keys(self, columns: Sequence[Column[Any]]) -> ColumnElement[bool]:
        arrays = [bindparam(f"keys_{column.name}", type_=ARRAY(column.type)) for column in columns]
        keys = func.unnest(*arrays).table_valued(*[column.name for column in columns]).render_derived()
        return tuple_(*columns).in_(select(*keys.c))

    def key_parameters(self, names: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
        return [{f"keys_{name}": [key[place] for key in keys] for place, name in enumerate(names)}]

    def id_milliseconds(self, column: ColumnElement[Any]) -> ColumnElement[int]:
        digits = f"replace(substr(CAST({column} AS text), 1, 13), '-', '')"
        return literal_column(f"CAST(CAST('x' || {digits} AS bit(48)) AS bigint)", BigInteger())

    def delete(self, table: Table, *conditions: ColumnElement[bool]) -> Delete:
        # A plain DELETE locks rows in the order in which it finds them, and may deadlock with writers, which lock in
        # key order. A separate statement for the locks would miss rows that are inserted before the DELETE.
        # PostgreSQL computes this count once, before the DELETE looks for its first row.
        in_order: Select[Any] = select(literal_column("1")).where(*conditions).order_by(*table.primary_key)
        locked = in_order.with_for_update().cte("locked")
        return delete(table).where(*conditions, select(func.count()).select_from(locked).scalar_subquery() >= 0)

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        url, name = take_application_name(url, "application_name")
        settings = {"application_name": name}
        if _SEARCH_PATH in url.query:
            settings[_SEARCH_PATH] = str(url.query[_SEARCH_PATH])
        arguments: dict[str, Any] = {"timeout": timeout, "server_settings": settings}
        if tls is not None:
            arguments["ssl"] = "prefer" if tls.context and not tls.required else tls.context or False
        for name in _CACHES.intersection(url.query):
            # asyncpg and SQLAlchemy each have a cache, and take its size as a number
            size = str(url.query[name])
            if not size.isdecimal():
                raise UnsupportedServer(f"the URL's {name} must be a number")
            arguments[name] = int(size)
        return url.difference_update_query({*_CACHES, _SEARCH_PATH}), arguments

    def server(self, url: URL) -> Server:
        if url.host is not None or (host := parameter(url, "host")) is None or "port" in url.query:
            return super().server(url)
        if host.startswith("/"):  # the folder of a socket
            return Server(host, None)
        address, _, port = host.rpartition(":")  # of several hosts the first
        return Server(address or host, int(port) if address and port.isdigit() and port != "5432" else None)

    def allows_autocommit(self, arguments: Mapping[str, Any]) -> bool:
        # Without a transaction, a pooler may prepare a statement in one session and run it in another.
        return all(arguments.get(name) != 0 for name in _CACHES)

    def on_connect(self, connection: DBAPIConnection) -> None:
        encoding = connection.driver_connection.get_settings().server_encoding
        if encoding != "UTF8":
            raise UnsupportedServer(
                f"the database's encoding is {encoding}, which cannot hold every character; it must be UTF8"
            )

    def wait_briefly(self, connection: Connection) -> bool:
        # Behind a pooler, the number of the session is another one, and other clients would get the setting.
        driver: Any = connection.connection.driver_connection
        is_own = f"pg_backend_pid() = {driver.get_server_pid()}"
        answer = await_only(driver.execute(f"SELECT set_config('lock_timeout', '1ms', false) WHERE {is_own}"))
        return bool(answer == "SELECT 1")

    def is_lost(self, connection: DBAPIConnection) -> bool:
        return bool(connection.driver_connection.is_closed())

    def code(self, error: BaseException) -> str:
        return getattr(error, "sqlstate", None) or ""

    def says_no_tls(self, error: BaseException) -> bool:
        return "rejected SSL upgrade" in str(error)  # asyncpg's ConnectionError has no code

    def classify_error(self, error: BaseException, *, invalidated: bool = False) -> ErrorClass:
        error_class = super().classify_error(error, invalidated=invalidated)
        if error_class.code == _POOLER_ERROR and _POOLER_REFUSAL.search(error_class.message):
            return error_class._replace(transient=False)
        if self.lacks_tenants(error):
            return error_class._replace(message=LACKS_TENANTS, transient=True)
        if error_class.code in codes.UNKNOWN_STATEMENT:
            return error_class._replace(message=f"{error_class.message}: {_POOLER_HINT}")
        return error_class

    def refuses_login(self, error: BaseException) -> bool:
        cause = self.driver_error(error)
        by_pooler = self.code(cause) == _POOLER_ERROR and _POOLER_LOGIN in self.message(cause)
        return by_pooler or super().refuses_login(error)

    def message(self, error: BaseException) -> str:
        # RAISE in PL/pgSQL, with any code: the message may contain a value
        raised = getattr(error, "server_source_function", None) == "exec_stmt_raise"
        return _RAISED if raised else super().message(error)

    def redact(self, code: str, message: str) -> str:
        if code.startswith("P0"):  # errors of PL/pgSQL
            return _RAISED
        if argument := _ARGUMENT.match(message):
            return argument[0]
        # errors without a code are asyncpg's own
        return message if not code or code[:2] in codes.CLASSES_WITHOUT_VALUES else super().redact(code, message)

    def replace_message(self, error: BaseException, message: str) -> None:
        super().replace_message(error, message)
        error.__dict__.update(dict.fromkeys(_WITH_VALUES.intersection(error.__dict__)))
        if "message" in error.__dict__:
            error.__dict__["message"] = message
