"""MySQL and MariaDB, with the drivers aiomysql and asyncmy."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Executable,
    Index,
    PrimaryKeyConstraint,
    Select,
    Table,
    bindparam,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects.mysql import CHAR, DATETIME, LONGTEXT, VARCHAR, insert
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.types import TypeEngine

from axon_storage.dialects.base import Dialect, Tls, UnsupportedServer
from axon_storage.dialects.error_codes import mysql as codes
from axon_storage.dialects.identity import Server, parameter
from axon_storage.dialects.mysql.diagnosis import MySQLDiagnosis
from axon_storage.dialects.mysql.driver_calls import MySQLDriverCalls, is_hung_up
from axon_storage.dialects.mysql.grants import MySQLGrants
from axon_storage.dialects.mysql.inspection import MySQLInspection
from axon_storage.dialects.mysql.migration import MariaDBMigration, MySQLMigration
from axon_storage.dialects.mysql.session_limits import MySQLLimits
from axon_storage.dialects.mysql.versions import MariaDBVersions, MySQLVersions
from axon_storage.dialects.statements import APPEND_ONLY, any_key, execute, replaced, take_application_name

_CHARSET = "utf8mb4"
_SMALLEST_PACKET = 16 * 2**20
_STRICT = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO"

# Other values would truncate results without an error, or make COMMIT and ROLLBACK begin another transaction or end the
# connection.
_SESSION = "sql_select_limit = 18446744073709551615, completion_type = 0"

# the bit of the server's handshake that says that it supports TLS
_TLS_CAPABILITY = 1 << 11
_NO_TLS = "2026"

# SQLAlchemy's INSERT for MySQL 8.0.20 and later, which the drivers do not recognise as one that they can batch
_ROW_ALIAS = re.compile(r"(INSERT INTO .+? VALUES )(\([%s, ]+\))( AS new [^%]*)", re.DOTALL)

# Messages with one quoted value, which may contain quotation marks, and after it names and numbers.
_QUOTED_VALUE = re.compile(
    r"(Duplicate entry )'.*'( for key '[\w.]+')"
    r"|(\w+ incorrect \w+ value: |Incorrect \w+ value: )'.*?'( for column \S+ at row \d+|)",
    re.DOTALL,
)

# MySQL puts the table's name in front
_PRIMARY_KEY = re.compile(r" for key '(?:[^']*\.)?PRIMARY'$")


class MySQL(
    MySQLMigration,
    MySQLInspection,
    MySQLDiagnosis,
    MySQLGrants,
    MySQLLimits,
    MySQLDriverCalls,
    MySQLVersions,
    Dialect,
):
    """MySQL: InnoDB tables, READ COMMITTED, strict mode, and a collation that compares code points without padding."""

    title = "MySQL"
    system_name = "mysql"
    default_port = 3306
    # not SHOW, which a node answers that is out of service in its Galera cluster
    session_attributes = {
        "read-write": ("SELECT @@global.read_only", {"0", "OFF"}),
        "read-only": ("SELECT @@global.read_only", {"1", "ON"}),
    }
    backup_tool = "mysqldump --single-transaction DATABASE, on MariaDB mariadb-dump --single-transaction DATABASE"
    unerased = ("binary logs until they are purged",)
    schemes = {
        scheme + suffix: "mysql+" + (suffix[1:] or "aiomysql")
        for scheme in ("mysql", "mariadb")
        for suffix in ("", "+aiomysql", "+asyncmy")
    }
    extras = {"aiomysql": "mysql", "asyncmy": "asyncmy"}
    driver_modules = frozenset({"aiomysql", "pymysql", "asyncmy"})
    collation = "utf8mb4_0900_bin"
    session_isolation = "READ COMMITTED"

    connection_codes = {**codes.PASSING, **codes.PERMANENT}
    transient_codes = {**codes.PASSING, **codes.RETRYABLE}
    missing_index_codes = codes.MISSING_INDEXES
    fail_over_codes = codes.FAIL_OVERS
    lock_timeout_codes = codes.LOCK_TIMEOUTS
    denied_codes = codes.DENIED
    login_codes = codes.LOGINS
    codes_without_values = codes.WITHOUT_VALUES

    distinct_values, distinct_is_exact = 200, False

    commit_outlives_cancellation = True
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
        # MariaDB reports an integer's display width, and BOOL is a synonym
        return re.sub(r"^(BIGINT|INTEGER)\(\d+\)", r"\1", kind).replace("TINYINT(1)", "BOOL")

    def upsert(self, table: Table) -> Executable:
        statement = insert(table)
        return statement.on_duplicate_key_update({name: statement.inserted[name] for name in replaced(table)})

    def insert_once(self, table: Table) -> Executable:
        if APPEND_ONLY in table.info:
            return insert(table)  # ON DUPLICATE KEY UPDATE needs the right to update the rows
        # not INSERT IGNORE, which also truncates and clamps values
        name = list(table.primary_key)[-1].name
        return insert(table).on_duplicate_key_update({name: table.c[name]})

    def create(self, table: Table) -> Executable:
        # With ON DUPLICATE KEY UPDATE the server reports one row in both cases, because the drivers set
        # CLIENT_FOUND_ROWS. The error undoes only this statement.
        return insert(table)

    def is_existing_key(self, error: BaseException) -> bool:
        # not the key of a unique index that the application has added
        return self.code(error) == codes.DUPLICATE_KEY and bool(_PRIMARY_KEY.search(str(error.args[-1])))

    def distinct(
        self,
        source: ColumnElement[Any],
        column: ColumnElement[Any],
        conditions: Sequence[ColumnElement[bool]],
        lower: Sequence[ColumnElement[bool]],
    ) -> Any:
        # In a recursive CTE, each lookup would read all rows of the tenant. Whether GROUP BY uses one lookup per value,
        # a "loose index scan", depends on the statistics of all tenants. So this reads the first rows.
        keys = list(column.table.primary_key)
        rows = select(column.label("value")).where(*conditions, *lower).order_by(*keys[keys.index(column) :])
        first = rows.limit(bindparam("limit")).subquery()
        return select(source, first.c.value).distinct()

    def in_keys(self, columns: Sequence[Column[Any]]) -> ColumnElement[bool]:
        # the drivers send each DELETE of a batch by itself
        return tuple_(*columns).in_(bindparam("keys", expanding=True))

    def key_parameters(self, names: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
        del names
        return [{"keys": list(keys)}]

    def id_milliseconds(self, column: ColumnElement[Any]) -> ColumnElement[int]:
        return literal_column(f"CAST(CONV(LEFT({column}, 12), 16, 10) AS SIGNED)", BigInteger())

    def by_index(self, statement: Select[Any], table: Table, index: Index | PrimaryKeyConstraint) -> Select[Any]:
        # If the planner estimates that a topic is frequent, it would scan the primary key instead; and for a list of
        # ids it may skip through the index of the topics.
        hint = f"FORCE INDEX ({index.name if isinstance(index, Index) else 'PRIMARY'})"
        return statement.with_hint(table, hint, "mysql").with_hint(table, hint, "mariadb")

    def locks_rows_first(self, *, contended: bool) -> bool:
        # It costs a fifth of the speed, so it is done only if a deadlock with a transaction is likely.
        return contended

    def lock_rows(self, connection: Connection, table: Table, keys: Sequence[tuple[Any, ...]]) -> None:
        # text, because SQLAlchemy takes longer to expand the lists than the server takes to lock the rows
        quote = connection.dialect.identifier_preparer.quote
        names = [quote(column.name) for column in table.primary_key]
        condition, parameters = any_key(names, keys, lambda _number: "%s")
        # by the primary key, because a scan of the table would fail at the locks of other rows
        rows = f"{quote(table.name)} FORCE INDEX (PRIMARY) WHERE {condition}"
        connection.exec_driver_sql(f"SELECT COUNT(*) FROM {rows} FOR UPDATE NOWAIT", parameters)  # noqa: S608  # ours

    def check_url(self, url: URL) -> None:
        if not url.database:
            raise UnsupportedServer("the URL names no database: scheme://user:password@host/name")

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        url = url.update_query_dict({"charset": _CHARSET})
        # It runs before SQLAlchemy's first statements, which the server's sql_mode and completion_type would affect.
        session = f"SET SESSION sql_mode = '{_STRICT}', {_SESSION}"
        url, name = take_application_name(url, "program_name")
        arguments: dict[str, Any] = {"connect_timeout": timeout, "init_command": session, "program_name": name}
        if tls is not None and tls.context is not None:
            arguments["ssl"] = tls.context
        return url, arguments

    def server(self, url: URL) -> Server:
        socket = parameter(url, "unix_socket")
        return super().server(url) if socket is None else Server(socket, None)

    def tls_options(self, driver: Any) -> dict[str, Any]:
        return {"async_creator_fn": _insisting_on_tls(driver.aiomysql)} if hasattr(driver, "aiomysql") else {}

    def says_no_tls(self, error: BaseException) -> bool:
        # 1043 is MySQL's answer if a client starts TLS although the server has none; _NO_TLS is raised below
        return self.is_driver_error(error) and self.code(error) in {"1043", _NO_TLS}

    def on_connect(self, connection: DBAPIConnection) -> None:
        select = "SELECT @@sql_mode, @@character_set_client, @@max_allowed_packet"
        mode, charset, packet = execute(connection, select)
        # SQLAlchemy keeps the quoting style of the engine's first connection
        quotes = ",ANSI_QUOTES" if "ANSI_QUOTES" in mode else ""
        execute(connection, f"SET SESSION sql_mode = '{_STRICT}{quotes}', {_SESSION}")
        execute(connection, f"SET SESSION TRANSACTION ISOLATION LEVEL {self.session_isolation}")
        if charset != _CHARSET:
            raise UnsupportedServer(f"the connection's character set is {charset}: add charset={_CHARSET} to the URL")
        if packet < _SMALLEST_PACKET:
            raise UnsupportedServer(f"max_allowed_packet is {packet} bytes, and must be at least {_SMALLEST_PACKET}")

    def is_lost(self, connection: DBAPIConnection) -> bool:
        return is_hung_up(connection.driver_connection)

    def on_checkout(self, connection: DBAPIConnection) -> None:
        # the driver knows from the server's last answer whether autocommit is on
        if connection.get_autocommit():
            connection.autocommit(False)

    def executemany(self, cursor: Any, statement: str, parameters: Sequence[Any]) -> bool:
        if not (match := _ROW_ALIAS.fullmatch(statement)):
            return False
        head, row, tail = match.groups()
        cursor.execute(head + ", ".join([row] * len(parameters)) + tail, [value for row in parameters for value in row])
        return True

    def code(self, error: BaseException) -> str:
        return str(error.args[0]) if error.args and isinstance(error.args[0], int) else ""

    def redact(self, code: str, message: str) -> str:
        if code == "1644":  # ER_SIGNAL_EXCEPTION: the text is that of a trigger
            return "an error that a trigger or a procedure has raised"
        value = _QUOTED_VALUE.fullmatch(message)
        if value:
            return "'…'".join(part for part in value.groups() if part is not None)
        return super().redact(code, message)

    def replace_message(self, error: BaseException, message: str) -> None:
        error.args = (error.args[0], message) if self.code(error) else (message,)


class MariaDB(MariaDBVersions, MariaDBMigration, MySQL):
    """MariaDB: another name for the collation, and a time limit for every statement."""

    title = "MariaDB"
    system_name = "mariadb"
    collation = "utf8mb4_nopad_bin"
    brief_lock_waits = ("SET SESSION innodb_lock_wait_timeout = 0",)  # no wait at all, which MySQL does not offer

    def locks_rows_first(self, *, contended: bool) -> bool:
        del contended
        return False


def _insisting_on_tls(aiomysql: Any) -> Callable[..., Awaitable[Any]]:
    """Return a function that connects as aiomysql does, but sends no password to a server without TLS."""

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
