"""Oracle Database, with the asynchronous thin mode of python-oracledb."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    Connection,
    Executable,
    Insert,
    Table,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.oracle import BINARY_DOUBLE, CLOB, NUMBER, TIMESTAMP, VARCHAR2
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import CHAR, TypeEngine

from axon_storage.dialects.base import Dialect, Tls, UnsupportedServer
from axon_storage.dialects.error_codes import oracle as codes
from axon_storage.dialects.errors import ErrorClass
from axon_storage.dialects.identity import parameter
from axon_storage.dialects.oracle.diagnosis import OracleDiagnosis
from axon_storage.dialects.oracle.grants import CURRENT_SCHEMA, OracleGrants, quoted
from axon_storage.dialects.oracle.inspection import OracleInspection
from axon_storage.dialects.oracle.migration import OracleMigration
from axon_storage.dialects.oracle.versions import OracleVersions
from axon_storage.dialects.statements import (
    ID_TIME_DIGITS,
    any_key,
    execute,
    from_hexadecimal,
    replaced,
    take_application_name,
)

_CHARSET = "AL32UTF8"
_ROLLBACK_SECONDS = 1
_CANNOT_CONNECT = "DPY-6005"  # its cause says why
# A VARCHAR2 holds 4000 bytes, and the driver counts four for each character. It sends longer strings as LONG, which
# MERGE refuses according to the manual (ORA-01461).
_VARCHAR_CHARACTERS = 1000


class Oracle(OracleMigration, OracleInspection, OracleDiagnosis, OracleGrants, OracleVersions, Dialect):
    """Oracle, without its JSON and BOOLEAN types, so that the schema is the same on every version of the server."""

    title = "Oracle"
    system_name = "oracle.db"
    default_port = 1521
    backup_tool = "expdp schemas=USER"
    unerased = ("undo and archived redo logs",)
    schemes = {
        "oracle": "oracle+oracledb_async",
        "oracle+oracledb": "oracle+oracledb_async",
        "oracle+oracledb_async": "oracle+oracledb_async",
    }
    extras = {"oracledb_async": "oracle"}
    driver_modules = frozenset({"oracledb"})
    empty_is_null = True
    # one DELETE would lock its rows in the order of its plan; a batch of DELETEs locks them in the given order
    deletes_lists = False
    distinct_values = 1
    session_isolation = "READ COMMITTED"
    # By default SQL*Plus, SQLcl and SQL Developer prompt for a value at each &, and continue after an error.

    connection_codes = {**codes.PASSING, **codes.PERMANENT}
    transient_codes = {**codes.PASSING, **codes.RETRYABLE}
    fail_over_codes = codes.FAIL_OVERS
    lock_timeout_codes = codes.LOCK_TIMEOUTS
    denied_codes = codes.DENIED
    login_codes = codes.LOGINS
    # another session inserted the row between the search and the insert of a MERGE; the transaction is intact
    lost_race_codes = codes.UNIQUE_VIOLATIONS
    codes_without_values = codes.WITHOUT_VALUES
    commit_outlives_cancellation = True

    def identifier(self, length: int) -> TypeEngine[str]:
        # the length is in characters; one more for the escape
        return VARCHAR2(length + 1)

    def long_text(self) -> TypeEngine[str]:
        return CLOB()

    def int32(self) -> TypeEngine[int]:
        return _number(10)

    def int64(self) -> TypeEngine[int]:
        return _number(19)

    def double(self) -> TypeEngine[float]:
        return BINARY_DOUBLE()

    def flag(self) -> TypeEngine[Any]:
        return _number(1)

    def timestamp(self) -> TypeEngine[Any]:
        return TIMESTAMP()

    def row_id(self) -> TypeEngine[Any]:
        return CHAR(32)

    def escape_string(self, value: str) -> str:
        # '' becomes '\\x01', and a string that begins with '\\x01' gets one more
        return "\x01" + value if not value or value[0] == "\x01" else value

    def unescape_string(self, value: str) -> str:
        return value[1:] if value[:1] == "\x01" else value

    def normalised_type(self, kind: str) -> str:
        return kind.replace("VARCHAR2(", "VARCHAR(")

    def upsert(self, table: Table) -> Executable:
        return _MergeOver(table)

    def insert_once(self, table: Table) -> Executable:
        return _Merge(table)

    def distinct(
        self,
        source: ColumnElement[Any],
        column: ColumnElement[Any],
        conditions: Sequence[ColumnElement[bool]],
        lower: Sequence[ColumnElement[bool]],
    ) -> Any:
        return select(source, func.min(column)).where(*conditions, *lower)

    def id_milliseconds(self, column: ColumnElement[Any]) -> ColumnElement[int]:
        # Not TO_NUMBER with the format XXXXXXXXXXXX, which the Oracle double does not have.
        return literal_column(from_hexadecimal(str(column), ID_TIME_DIGITS, "NUMBER(19)"), BigInteger())

    def locks_rows_first(self, *, contended: bool) -> bool:
        del contended
        return True  # no session setting limits how long writes wait for a lock

    def lock_rows(self, connection: Connection, table: Table, keys: Sequence[tuple[Any, ...]]) -> None:
        stored = [tuple([self._stored(value) for value in key]) for key in keys]
        condition, parameters = any_key([column.name for column in table.primary_key], stored, ":k{}".format)
        statement = f"SELECT tenant_id FROM {table.name} WHERE {condition} FOR UPDATE NOWAIT"  # noqa: S608  # ours
        binds = {f"k{number}": value for number, value in enumerate(parameters, 1)}
        connection.exec_driver_sql(statement, binds).all()

    def bind_types(self, types: dict[BindParameter[Any], Any], rows: Sequence[Mapping[str, Any]], driver: Any) -> None:
        # SQLAlchemy binds CLOB columns as DB_TYPE_NVARCHAR. A value sent as a CLOB costs extra round trips, so short
        # values are sent as VARCHAR2.
        long = [parameter for parameter, native in types.items() if native is driver.DB_TYPE_NVARCHAR]
        values = [row.get(parameter.key) for row in rows for parameter in long]
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) == len(values):  # the host application's statements may bind other values
            fits = all(len(text) <= _VARCHAR_CHARACTERS for text in texts)
            types.update(dict.fromkeys(long, _VARCHAR_CHARACTERS if fits else driver.DB_TYPE_CLOB))

    def check_url(self, url: URL) -> None:
        if url.host is None:
            raise UnsupportedServer("the URL names no host: oracle://user:password@host/?service_name=NAME")
        if url.database and "service_name" in url.query:
            raise UnsupportedServer("the URL names a SID and a service: leave out one of them")

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        url, name = take_application_name(url, "program")
        arguments: dict[str, Any] = {"tcp_connect_timeout": timeout, "program": name}
        if tls is not None and tls.context is not None:
            if not tls.required:
                raise UnsupportedServer(
                    "Oracle's driver has no optional TLS: use sslmode=require, or leave the parameter out"
                )
            names = tls.context.check_hostname  # the driver turns off the context's own check
            arguments |= {"protocol": "tcps", "ssl_context": tls.context, "ssl_server_dn_match": names}
        return url.difference_update_query([CURRENT_SCHEMA]), arguments

    def first_statements(self, url: URL) -> Sequence[str]:
        # before SQLAlchemy asks for the schema in which it looks for tables
        if CURRENT_SCHEMA not in url.query:
            return ()
        schema = quoted(str(url.query[CURRENT_SCHEMA]), url.get_dialect()().identifier_preparer)
        return (f"ALTER SESSION SET CURRENT_SCHEMA = {schema}",)

    def namespace(self, url: URL) -> str | None:
        del url  # it is the parameter DB_UNIQUE_NAME, which only a query tells
        return None

    def identifying_attributes(self, url: URL) -> Mapping[str, str]:
        service = parameter(url, "service_name")
        return {} if service is None else {"oracle.db.service": service}

    def on_connect(self, connection: DBAPIConnection) -> None:
        # compare by code point, whatever a logon trigger or the instance's parameters have set
        execute(connection, "ALTER SESSION SET NLS_COMP = BINARY NLS_SORT = BINARY")
        charset = "SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'"
        if (found := execute(connection, charset)[0]) != _CHARSET:
            raise UnsupportedServer(
                f"the database's character set is {found}, which cannot hold every character: it must be {_CHARSET}"
            )

    def on_checkout(self, connection: DBAPIConnection) -> None:
        connection.autocommit = False  # an attribute of the driver; nothing is sent

    def discard(self, connection: DBAPIConnection) -> None:
        # A session that closes normally commits its open transaction. The driver rolls back before it closes, but not
        # if the transaction began with a call that was cancelled before its answer was read.
        driver: Any = connection.driver_connection
        try:
            connection.run_async(_roll_back)
        except BaseException as error:
            if driver.is_healthy():  # else the connection is closed already
                driver.terminate()
            if not isinstance(error, Exception):
                raise

    def _stored(self, value: Any) -> Any:
        return self.escape_string(value) if isinstance(value, str) else value

    def code(self, error: BaseException) -> str:
        return getattr(error.args[0], "full_code", "") if error.args else ""

    def message(self, error: BaseException) -> str:
        text = getattr(error.args[0], "message", "") if error.args else ""
        return str(text).removeprefix(f"{self.code(error)}: ")

    def redact(self, code: str, message: str) -> str:
        if code.startswith("ORA-20"):  # raise_application_error: the text is that of a trigger
            return "an error that a trigger or a procedure has raised"
        return super().redact(code, message)

    def replace_message(self, error: BaseException, message: str) -> None:
        if self.code(error):
            error.args[0].message = f"{self.code(error)}: {message}"
        else:
            error.args = (message,)

    def classify_error(self, error: BaseException, *, invalidated: bool = False) -> ErrorClass:
        reason = error
        while self.code(reason) == _CANNOT_CONNECT and reason.__cause__ is not None and self.code(reason.__cause__):
            reason = reason.__cause__
        error_class = super().classify_error(reason, invalidated=invalidated)
        return error_class if reason is error else error_class._replace(connection=True)


def _number(digits: int) -> TypeEngine[Any]:
    return NUMBER(digits, 0, asdecimal=False)  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped


async def _roll_back(driver: Any) -> None:
    """Roll back within :data:`_ROLLBACK_SECONDS`; raise TimeoutError, CancelledError or the driver's error."""
    # Not wait_for: when it is cancelled, it does not retrieve the driver's error (Python 3.11), or raises it instead of
    # CancelledError.
    rollback = asyncio.ensure_future(driver.rollback())
    # asyncio logs an error that nobody retrieves
    rollback.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    try:
        await asyncio.wait({rollback}, timeout=_ROLLBACK_SECONDS)
    finally:
        if not rollback.done():
            rollback.cancel()
            await asyncio.wait({rollback})
    if rollback.cancelled():
        raise TimeoutError
    rollback.result()


class _Merge(Insert):
    """A MERGE that inserts a row unless its key exists."""

    inherit_cache = True


class _MergeOver(_Merge):
    """A MERGE that inserts a row, or replaces the row with its key."""

    inherit_cache = True


@compiles(_Merge)
def _merge(merge: _Merge, compiler: SQLCompiler, **_options: Any) -> str:
    table = cast("Table", merge.table)
    row = ", ".join(f"{_parameter(column, compiler)} AS {column.name}" for column in table.c)
    on = " AND ".join(f"t.{column.name} = s.{column.name}" for column in table.primary_key)
    columns = ", ".join(column.name for column in table.c)
    values = ", ".join(f"s.{column.name}" for column in table.c)
    sets = ", ".join(f"{name} = s.{name}" for name in replaced(table))
    update = f"WHEN MATCHED THEN UPDATE SET {sets} " if isinstance(merge, _MergeOver) else ""
    return (
        f"MERGE INTO {table.name} t USING (SELECT {row} FROM dual) s ON ({on}) "  # noqa: S608  # fixed names
        f"{update}WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
    )


def _parameter(column: Column[Any], compiler: SQLCompiler) -> str:
    parameter = compiler.process(bindparam(column.name, type_=column.type))
    # CAST, because the driver sends NULL as a string
    return f"CAST({parameter} AS {column.type.compile(compiler.dialect)})" if column.nullable else parameter
