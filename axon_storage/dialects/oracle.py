"""Oracle Database through python-oracledb's thin async driver."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import BindParameter, Column, Connection, Executable, Insert, Table, bindparam, text
from sqlalchemy.dialects.oracle import BINARY_DOUBLE, CLOB, NUMBER, TIMESTAMP, VARCHAR2
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import CHAR, TypeEngine

from axon_storage.dialects.base import (
    Dialect,
    ErrorClass,
    Tls,
    UnsupportedServer,
    any_key,
    execute,
    replaced,
    take_application_name,
)

_CHARSET = "AL32UTF8"
_LOCK_TABLE = "axon_storage_lock"
_ROLLBACK_SECONDS = 1
_CANNOT_CONNECT = "DPY-6005"  # what went wrong is its cause
# As the driver counts, four bytes each, this is what a VARCHAR2 holds. Whatever is declared longer goes as LONG, which
# MERGE is said to refuse (ORA-01461); not seen on Oracle.
_VARCHAR_CHARACTERS = 1000


class Oracle(Dialect):
    """No native JSON or BOOLEAN, so that the schema is the same on every server version."""

    title = "Oracle"
    schemes = {
        "oracle": "oracle+oracledb_async",
        "oracle+oracledb": "oracle+oracledb_async",
        "oracle+oracledb_async": "oracle+oracledb_async",
    }
    extras = {"oracledb_async": "oracle"}
    driver_modules = frozenset({"oracledb"})
    empty_is_null = True
    # Locks would be taken in the order the plan finds the rows; a batch takes its rows one after the other.
    deletes_lists = False
    deployment_lock_apart = True
    session_isolation = "READ COMMITTED"
    # SQL*Plus, SQLcl and SQL Developer take & for a question, and go on after an error, to what says that all is done.
    script_begins = "SET DEFINE OFF\nWHENEVER SQLERROR EXIT FAILURE ROLLBACK"
    script_ends = "COMMIT"

    # What passes by itself: a closed connection (as which the driver tells ORA-00028, 01012, 01089, 03113, 03114, 03135
    # and 12537), a call's or the profile's time-outs, a listener's refusal, too many sessions or processes, an instance
    # that starts, stops or is in standby.
    _passing_connection_codes = frozenset(
        {"DPY-1001", "DPY-4011", "DPY-4024", "DPY-4033", "DPY-6000", "DPY-6005", "ORA-00018", "ORA-00020", "ORA-01033"}
        | {"ORA-01034", "ORA-01090", "ORA-01109", "ORA-02391", "ORA-02399", "ORA-16456"}
    )
    # And what does not: the thin driver cannot serve this server or account, an address that cannot be read, a service,
    # SID or certificate that is not there or not right, a refused login, restricted mode.
    connection_codes = _passing_connection_codes | frozenset(
        {"DPY-3008", "DPY-3010", "DPY-3015", "DPY-4000", "DPY-4001", "DPY-4017", "DPY-4018", "DPY-6001", "DPY-6002"}
        | {"DPY-6003", "DPY-6006", "DPY-6008", "ORA-01017", "ORA-01035", "ORA-01045", "ORA-28000", "ORA-28001"}
    )
    # Deadlock, serialization, lock time-outs, a MERGE that loses its race again and again, read-only after a fail-over,
    # a snapshot too old, and fail-overs that lost the statement or the transaction.
    transient_codes = _passing_connection_codes | frozenset(
        {"ORA-00060", "ORA-08177", "ORA-00054", "ORA-30006", "ORA-02049", "ORA-04020", "ORA-04021", "ORA-00001"}
        | {"ORA-16000", "ORA-01555", "ORA-25402", "ORA-25408"}
    )
    commit_outlives_cancellation = True
    lock_timeout_codes = frozenset({"ORA-00054"})
    # A MERGE that found no row and met it when it inserted; what failed was that row, not the transaction.
    lost_race_codes = frozenset({"ORA-00001"})

    def identifier(self, length: int) -> TypeEngine[str]:
        # "n CHAR", and one character more for the escape
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

    def normalised_type(self, kind: str) -> str:
        return kind.replace("VARCHAR2(", "VARCHAR(")

    def upsert(self, table: Table) -> Executable:
        return _MergeOver(table)

    def insert_once(self, table: Table) -> Executable:
        return _Merge(table)

    def locks_rows_first(self, *, contended: bool) -> bool:
        del contended
        return True  # there is no other way

    def lock_rows(self, connection: Connection, table: Table, keys: Sequence[tuple[Any, ...]]) -> None:
        stored = [tuple([escaped(value) if isinstance(value, str) else value for value in key]) for key in keys]
        condition, parameters = any_key([column.name for column in table.primary_key], stored, ":k{}".format)
        statement = f"SELECT tenant_id FROM {table.name} WHERE {condition} FOR UPDATE NOWAIT"  # noqa: S608  # ours
        binds = {f"k{number}": value for number, value in enumerate(parameters, 1)}
        connection.exec_driver_sql(statement, binds).all()

    def bind_types(self, types: dict[BindParameter[Any], Any], rows: Sequence[Mapping[str, Any]], driver: Any) -> None:
        # SQLAlchemy gives this type to CLOBs. As a CLOB each value costs round trips of its own, so short ones go as
        # what they are.
        long = [parameter for parameter, native in types.items() if native is driver.DB_TYPE_NVARCHAR]
        values = [row.get(parameter.key) for row in rows for parameter in long]
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) == len(values):  # a host's own statements may bind something else
            fits = all(len(text) <= _VARCHAR_CHARACTERS for text in texts)
            types.update(dict.fromkeys(long, _VARCHAR_CHARACTERS if fits else driver.DB_TYPE_CLOB))

    def check_url(self, url: URL) -> None:
        if url.database and "service_name" in url.query:
            raise UnsupportedServer("the URL names a SID and a service: leave out one of them")

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        url, name = take_application_name(url, "program")
        arguments: dict[str, Any] = {"tcp_connect_timeout": timeout, "program": name}
        if tls is not None and tls.context is not None:
            if not tls.required:
                raise UnsupportedServer("Oracle's driver has no TLS that may be left out: sslmode=require, or none")
            names = tls.context.check_hostname  # the driver turns the context's own check off
            arguments |= {"protocol": "tcps", "ssl_context": tls.context, "ssl_server_dn_match": names}
        return url, arguments

    def on_connect(self, connection: DBAPIConnection) -> None:
        # by code point, whatever a logon trigger or the instance's parameters say
        execute(connection, "ALTER SESSION SET NLS_COMP = BINARY NLS_SORT = BINARY")
        charset = "SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'"
        if (found := execute(connection, charset)[0]) != _CHARSET:
            raise UnsupportedServer(
                f"the database's character set is {found}, which cannot hold every character: it must be {_CHARSET}"
            )

    def on_checkout(self, connection: DBAPIConnection) -> None:
        connection.autocommit = False  # the driver's own; nothing is sent for it

    def discard(self, connection: DBAPIConnection) -> None:
        # A session that ends in good order commits what it left open. The driver rolls back first where it knows of a
        # transaction, and of one that began with a call that was cancelled, its answer unread, it does not.
        driver: Any = connection.driver_connection
        try:
            connection.run_async(_roll_back)
        except BaseException as error:
            if driver.is_healthy():  # else nothing that it says gets through
                driver.terminate()
            if not isinstance(error, Exception):
                raise

    def acquire_schema_lock(self, connection: Connection) -> bool:
        # a row of a table of its own, since DBMS_LOCK needs a grant
        query = f"SELECT id FROM {_LOCK_TABLE} WHERE id = 1 FOR UPDATE NOWAIT"  # noqa: S608  # ours
        try:
            if connection.exec_driver_sql(query).first() is not None:
                return True
        except DBAPIError as error:
            if self._code_of(error) not in {"ORA-00054", "ORA-00942"}:
                raise
            if self._code_of(error) == "ORA-00054":
                return False
        self._make_lock_table(connection)
        return False

    def record_schema_lock_holder(self, connection: Connection, who: str) -> None:
        connection.execute(text(f"UPDATE {_LOCK_TABLE} SET holder = :who WHERE id = 2"), {"who": who})  # noqa: S608  # ours

    def schema_lock_holder(self, connection: Connection) -> str:
        return str(connection.exec_driver_sql(f"SELECT holder FROM {_LOCK_TABLE} WHERE id = 2").scalar())  # noqa: S608  # ours

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        del statement  # Oracle bounds a call in the driver alone
        return [f"ALTER SESSION SET ddl_lock_timeout = {max(1, round(lock))}"]

    def online_index(self, create: str, name: str, *, there: bool) -> list[str]:
        # which Standard Edition 2 does not have (ORA-00439): docs/oracle.md
        return [f"{line} ONLINE" for line in super().online_index(create, name, there=there)]

    def _make_lock_table(self, connection: Connection) -> None:
        """Make the table whose first row is the lock, and whose second says who holds it, unless another just did."""
        columns = f"id NUMBER(1) NOT NULL, holder VARCHAR2(255 CHAR), CONSTRAINT pk_{_LOCK_TABLE} PRIMARY KEY (id)"
        rows = [f"INSERT INTO {_LOCK_TABLE} (id, holder) VALUES ({row}, 'nobody')" for row in (1, 2)]  # noqa: S608  # ours
        for statement in (f"CREATE TABLE {_LOCK_TABLE} ({columns})", *rows):
            try:
                connection.exec_driver_sql(statement)
            except DBAPIError as error:
                if self._code_of(error) not in {"ORA-00955", "ORA-00001"}:
                    raise
        connection.commit()

    def _code_of(self, error: DBAPIError) -> str:
        return "" if error.orig is None else self.code(error.orig)

    def code(self, error: BaseException) -> str:
        return getattr(error.args[0], "full_code", "") if error.args else ""

    def classify_error(self, error: BaseException, *, invalidated: bool = False) -> ErrorClass:
        reason = error
        while self.code(reason) == _CANNOT_CONNECT and reason.__cause__ is not None and self.code(reason.__cause__):
            reason = reason.__cause__
        error_class = super().classify_error(reason, invalidated=invalidated)
        return error_class if reason is error else error_class._replace(connection=True)


def _number(digits: int) -> TypeEngine[Any]:
    return NUMBER(digits, 0, asdecimal=False)  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped


def escaped(value: str) -> str:
    r"""Give a string Oracle does not take for NULL: ``''`` becomes ``\x01``, a leading ``\x01`` gets one more."""
    return "\x01" + value if not value or value[0] == "\x01" else value


def unescaped(value: str) -> str:
    """Undo :func:`escaped`."""
    return value[1:] if value[:1] == "\x01" else value


async def _roll_back(driver: Any) -> None:
    """Roll back within :data:`_ROLLBACK_SECONDS`, or raise TimeoutError, CancelledError or the driver's error."""
    # Not wait_for: cancelled too, it leaves the driver's error unread (3.11) or raises it in place of CancelledError.
    rollback = asyncio.ensure_future(driver.rollback())
    rollback.add_done_callback(
        lambda ended: ended.cancelled() or ended.exception()
    )  # an error that is read is not logged
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
    """A MERGE of one row, as an INSERT that does nothing where the key is there already."""

    inherit_cache = True


class _MergeOver(_Merge):
    """A MERGE of one row that replaces the row of the same key."""

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
        f"MERGE INTO {table.name} t USING (SELECT {row} FROM dual) s ON ({on}) "  # noqa: S608  # names are ours
        f"{update}WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
    )


def _parameter(column: Column[Any], compiler: SQLCompiler) -> str:
    parameter = compiler.process(bindparam(column.name, type_=column.type))
    # the driver sends a NULL as a string
    return f"CAST({parameter} AS {column.type.compile(compiler.dialect)})" if column.nullable else parameter
