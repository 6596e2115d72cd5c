"""Oracle Database through python-oracledb's thin async driver."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import BindParameter, Column, Executable, Insert, Table, bindparam
from sqlalchemy.dialects.oracle import BINARY_DOUBLE, CLOB, NUMBER, TIMESTAMP, VARCHAR2
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import CHAR, TypeEngine

from axon_storage.dialects.base import Dialect, Tls, Unfit, execute, replaced

_CHARSET = "AL32UTF8"
# What a VARCHAR2 holds. Longer strings would go as LONG, which MERGE is said to refuse (ORA-01461); not seen on Oracle.
_VARCHAR_BYTES = 4000


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
    # SQL*Plus, SQLcl and SQL Developer go on after an error, to the statement that says all is done.
    script_begins = "WHENEVER SQLERROR EXIT FAILURE ROLLBACK"
    script_ends = "COMMIT"

    # Lost or refused connections, refused logins, an instance that starts or stops (Oracle's and the driver's codes).
    connection_codes = frozenset(
        {"DPY-1001", "DPY-4011", "DPY-4024", "DPY-6000", "DPY-6001", "DPY-6003", "DPY-6005", "ORA-00018", "ORA-00020"}
        | {"ORA-00028", "ORA-01012", "ORA-01017", "ORA-01033", "ORA-01034", "ORA-01089", "ORA-01090", "ORA-03113"}
        | {"ORA-03114", "ORA-03135", "ORA-12514", "ORA-12516", "ORA-12519", "ORA-12520", "ORA-12537", "ORA-12541"}
        | {"ORA-16456", "ORA-28000", "ORA-28001"}
    )
    # Deadlock, serialization, lock time-outs, a MERGE that lost its race, and what passes by itself of the above.
    transient_codes = frozenset(
        {"ORA-00060", "ORA-08177", "ORA-00054", "ORA-30006", "ORA-00001", "ORA-16000", "DPY-1001", "DPY-4011"}
        | {"DPY-4024", "DPY-6000", "DPY-6005", "ORA-00018", "ORA-00020", "ORA-00028", "ORA-01012", "ORA-01033"}
        | {"ORA-01034", "ORA-01089", "ORA-01090", "ORA-03113", "ORA-03114", "ORA-03135", "ORA-12514", "ORA-12516"}
        | {"ORA-12519", "ORA-12520", "ORA-12537", "ORA-12541", "ORA-16456"}
    )

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

    def moment(self) -> TypeEngine[Any]:
        return TIMESTAMP()

    def row_id(self) -> TypeEngine[Any]:
        return CHAR(32)

    def upsert(self, table: Table) -> Executable:
        return _MergeOver(table)

    def insert_once(self, table: Table) -> Executable:
        return _Merge(table)

    def bind_types(self, types: dict[BindParameter[Any], Any], rows: Sequence[Mapping[str, Any]], driver: Any) -> None:
        # SQLAlchemy gives this type to CLOBs. As a CLOB each value costs round trips of its own, so short ones go as
        # what they are.
        long = [parameter for parameter, native in types.items() if native is driver.DB_TYPE_NVARCHAR]
        values = [row.get(parameter.key) for row in rows for parameter in long]
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) == len(values):  # a host's own statements may bind something else
            fits = all(len(text.encode()) <= _VARCHAR_BYTES for text in texts)
            types.update(dict.fromkeys(long, driver.DB_TYPE_VARCHAR if fits else driver.DB_TYPE_CLOB))

    def check_url(self, url: URL) -> None:
        if url.database and "service_name" in url.query:
            raise Unfit("the URL names a SID and a service: leave out one of them")

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        arguments: dict[str, Any] = {"tcp_connect_timeout": timeout}
        if tls is not None and tls.context is not None:
            arguments |= {"protocol": "tcps", "ssl_context": tls.context}
        return url, arguments

    def prepare(self, connection: DBAPIConnection) -> None:
        connection.autocommit = False  # an engine of others may have been made with AUTOCOMMIT
        # by code point, whatever a logon trigger or the instance's parameters say
        execute(connection, "ALTER SESSION SET NLS_COMP = BINARY NLS_SORT = BINARY")
        charset = "SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'"
        if (found := execute(connection, charset)[0]) != _CHARSET:
            raise Unfit(
                f"the database's character set is {found}, which cannot hold every character: it must be {_CHARSET}"
            )

    def code(self, error: BaseException) -> str:
        return getattr(error.args[0], "full_code", "") if error.args else ""


def _number(digits: int) -> TypeEngine[Any]:
    return NUMBER(digits, 0, asdecimal=False)  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped


def escaped(value: str) -> str:
    r"""Give a string Oracle does not take for NULL: ``''`` becomes ``\x01``, a leading ``\x01`` gets one more."""
    return "\x01" + value if not value or value[0] == "\x01" else value


def unescaped(value: str) -> str:
    """Undo :func:`escaped`."""
    return value[1:] if value[:1] == "\x01" else value


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
