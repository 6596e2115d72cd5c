"""Oracle Database through python-oracledb's thin async driver."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, Table, bindparam, text
from sqlalchemy.dialects.oracle import BINARY_DOUBLE, CLOB, NUMBER, TIMESTAMP, VARCHAR2
from sqlalchemy.engine import URL
from sqlalchemy.types import CHAR, TypeEngine

from axon_storage.dialects.base import Dialect, Tls


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

    def upsert(self, table: Table, updated: Sequence[str]) -> Executable:
        sets = ", ".join(f"t.{name} = s.{name}" for name in updated)
        return _merge(table, f"WHEN MATCHED THEN UPDATE SET {sets} ")

    def insert_once(self, table: Table) -> Executable:
        return _merge(table, "")

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        arguments: dict[str, Any] = {"tcp_connect_timeout": timeout}
        if tls is not None and tls.context is not None:
            arguments |= {"protocol": "tcps", "ssl_context": tls.context}
        return url, arguments

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


def _merge(table: Table, matched: str) -> Executable:
    """A MERGE of one row of parameters, built as text, since SQLAlchemy has no construct for it."""
    names = [column.name for column in table.c]
    row = ", ".join(f":{name} AS {name}" for name in names)
    on = " AND ".join(f"t.{column.name} = s.{column.name}" for column in table.primary_key)
    columns, values = ", ".join(names), ", ".join(f"s.{name}" for name in names)
    return text(
        f"MERGE INTO {table.name} t USING (SELECT {row} FROM dual) s ON ({on}) "  # noqa: S608  # names are ours
        f"{matched}WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
    ).bindparams(*(bindparam(column.name, type_=column.type) for column in table.c))
