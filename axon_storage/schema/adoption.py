"""Converts the tables of an AxonServer, a server written in Rust, to this package's tables, with all rows.

An AxonServer uses PostgreSQL. Its tables have the same names as this package's, a BIGSERIAL ``id``, JSONB, and INT and
BIGINT for unsigned numbers. Since its fourth migration they have ``tenant_id`` and row-level security. See
axon-rs/migrations in the axon-lang repository.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, Table, inspect, text

from axon_storage.dialects import FILLFACTOR, dialect_of
from axon_storage.errors import InvalidArgumentError, SerializationError, StorageConnectionError
from axon_storage.model.json import parse_json
from axon_storage.model.rows import (
    AuditRow,
    AxonStoreRow,
    CacheRow,
    CostRow,
    DaemonRow,
    DataspaceRow,
    EventRow,
    HibernationRow,
    Row,
    ScheduleRow,
    SessionRow,
    TraceRow,
    check_row,
    fields_of,
)
from axon_storage.model.values import Json
from axon_storage.sql.tables import (
    CREATED_ID,
    EXPIRES_AT,
    TABLES,
    UPDATED_AT,
    VERSION_TABLE,
    audit_seals,
    metadata,
    pruning,
)
from axon_storage.sql.types import JsonDocument, UInt32, UInt64

_REMEDY = "give the URL of an AxonServer's database, or create new tables with `axon-storage migrate upgrade`"
_LEGACY = "axonserver_"
_PAGE_ROWS = 1_000
_MAX_REFUSALS = 100
_TABLES = {
    row_type: TABLES[row_type]
    for row_type in (
        TraceRow,
        SessionRow,
        DaemonRow,
        AuditRow,
        AxonStoreRow,
        DataspaceRow,
        HibernationRow,
        EventRow,
        CacheRow,
        CostRow,
        ScheduleRow,
    )
}
"""The tables of an AxonServer; a row type that this package adds has none there."""

_NAMES = {"names": [table.name for table in _TABLES.values()]}
_ROW_SECURITY = text(
    "SELECT relname FROM pg_class WHERE relrowsecurity AND relname = ANY(:names) "
    "AND relnamespace = current_schema()::regnamespace ORDER BY relname"
)


@dataclass
class Findings:
    """The result of an adoption or a dry run.

    ``rows``: the number of rows of each table. ``refusals``: a line for each value that this package cannot store.
    ``losses``: a line for each property of a table that cannot be kept.
    """

    rows: dict[str, int] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


def examine(connection: Connection) -> Findings:
    """Check that this package can store every row; change nothing."""
    _check_database(connection)
    findings = Findings()
    # a policy that would hide rows is then an error
    connection.exec_driver_sql("SET LOCAL row_security = off")
    findings.losses += [
        f"{name}: its row-level security" for name in connection.execute(_ROW_SECURITY, _NAMES).scalars()
    ]
    for row_type, table in _TABLES.items():
        findings.rows[table.name] = 0
        findings.refusals += _timestamps_out_of_range(connection, table)
        for key, values in _rows(connection, row_type, table):
            findings.rows[table.name] += 1
            if refusal := _refusal(row_type, values):
                findings.refusals.append(f"{refusal} ({key})")
            if len(findings.refusals) >= _MAX_REFUSALS:
                findings.refusals.append("and possibly more")
                return findings
    return findings


def adopt(connection: Connection, stamp: Callable[[Connection], None]) -> Findings:
    """Convert the tables in the connection's transaction. ``stamp``: a function that records the new revision."""
    _check_database(connection)
    for table in _TABLES.values():
        connection.exec_driver_sql(f"LOCK TABLE {table.name} IN ACCESS EXCLUSIVE MODE")
    findings = examine(connection)
    if findings.refusals:
        lines = ["these values cannot be stored, and nothing was changed:", *findings.refusals]
        raise SerializationError("\n".join(lines))
    grants = list(_grants(connection))
    for table in _TABLES.values():
        connection.exec_driver_sql(f"ALTER TABLE {table.name} RENAME TO {_LEGACY}{table.name}")
    _create_tables(connection)
    for table in _TABLES.values():
        connection.exec_driver_sql(_copy(table, _columns(connection, _LEGACY + table.name)))
        copied = connection.exec_driver_sql(f"SELECT count(*) FROM {table.name}").scalar_one()  # noqa: S608  # ours
        if copied != findings.rows[table.name]:
            raise StorageConnectionError(f"{table.name}: {copied} of {findings.rows[table.name]} rows were copied")
    for table in _TABLES.values():
        connection.exec_driver_sql(f"DROP TABLE {_LEGACY}{table.name}")
        connection.exec_driver_sql(f"ANALYZE {table.name}")
    stamp(connection)
    for grant in grants:
        connection.exec_driver_sql(grant)
    return findings


def _create_tables(connection: Connection) -> None:
    metadata.create_all(connection)
    for table in metadata.tables.values():
        for statement in dialect_of(connection.dialect).set_fillfactor(table.name, table.info.get(FILLFACTOR)):
            connection.exec_driver_sql(statement)


def _check_database(connection: Connection) -> None:
    """Raise an InvalidArgumentError unless the database is an AxonServer's."""
    dialect = dialect_of(connection.dialect)
    if not dialect.has_axon_servers:
        raise InvalidArgumentError(f"an AxonServer's database is PostgreSQL, and this is {dialect.title}: {_REMEDY}")
    names = set(inspect(connection).get_table_names())
    if VERSION_TABLE in names:
        raise InvalidArgumentError("the tables already belong to this package: use `axon-storage migrate upgrade`")
    for row_type, table in _TABLES.items():
        missing = {name for name, _ in fields_of(row_type)} - _columns(connection, table.name).keys() - {"tenant_id"}
        if table.name not in names or missing:
            what = f"{table.name} lacks {', '.join(sorted(missing))}" if table.name in names else f"no {table.name}"
            raise InvalidArgumentError(f"these are not an AxonServer's tables ({what}): {_REMEDY}")


def _columns(connection: Connection, table: str) -> dict[str, str]:
    """Return the columns of a table in the database, each with its PostgreSQL type."""
    query = text(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
        "WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped"
    )
    return {str(name): str(kind) for name, kind in connection.execute(query, {"name": table})}


def _rows(connection: Connection, row_type: type[Row], table: Table) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the key of each row, as text, and its fields, with JSON as text."""
    found = _columns(connection, table.name)
    columns = [table.c[name] for name, _ in fields_of(row_type)]
    query = f"SELECT {', '.join(_read(column, found) for column in columns)} FROM {table.name}"  # noqa: S608  # ours
    # a named cursor, because it can be closed: a table with an open cursor cannot be dropped
    connection.exec_driver_sql(f"DECLARE rows_of_{table.name} NO SCROLL CURSOR FOR {query}")
    while page := connection.exec_driver_sql(f"FETCH {_PAGE_ROWS} FROM rows_of_{table.name}").all():
        for row in page:
            values = {column.name: _unsigned(column, value) for column, value in zip(columns, row, strict=True)}
            yield ", ".join(f"{name} {values[name]!r:.40}" for name in ("tenant_id", *row_type.KEY)), values
    connection.exec_driver_sql(f"CLOSE rows_of_{table.name}")


def _unsigned(column: Column[Any], value: Any) -> Any:
    """Restore a number above 2^63-1, which an AxonServer stores as a negative one."""
    return value % 2**64 if isinstance(column.type, UInt64) and value is not None else value


def _timestamps_out_of_range(connection: Connection, table: Table) -> Iterator[str]:
    """Yield a line for each timestamp outside the years that this package stores."""
    for name, kind in _columns(connection, table.name).items():
        if kind != "timestamp with time zone":
            continue
        query = text(
            f"SELECT {name}::text FROM {table.name} "  # noqa: S608  # fixed names
            f"WHERE {name} < timestamptz 'epoch' OR {name} >= timestamptz '9999-01-01 00:00:00+00' "
            f"LIMIT {_MAX_REFUSALS}"
        )
        for timestamp in connection.execute(query).scalars():
            yield f"{table.name}.{name}: {timestamp} is not between 1970 and 9998"


def _refusal(row_type: type[Row], values: dict[str, Any]) -> str | None:
    """Return why this package cannot store a row, or None if it can."""
    for name, kind in fields_of(row_type):
        if isinstance(kind, Json):
            try:
                values[name] = parse_json(values[name])
            except ValueError as error:
                return f"{row_type.TABLE}.{name}: {error}"
    try:
        check_row(row_type(**values))
    except SerializationError as error:
        return error.message
    return None


def _read(column: Column[Any], found: dict[str, str]) -> str:
    """Return the SQL expression that reads a field from the columns that were found."""
    name = column.name
    if name == "tenant_id" and name not in found:
        return "'default'"
    if isinstance(column.type, UInt32) and found[name] == "integer":  # stores numbers above 2^31-1 as negative
        return f"{name}::bigint & 4294967295"
    return f"{name}::text" if isinstance(column.type, JsonDocument) else name


def _copy(table: Table, found: dict[str, str]) -> str:
    """Return the INSERT … SELECT that copies the rows of the renamed legacy table."""
    values = ", ".join(_value(column, found) for column in table.c)
    legacy = f"{_LEGACY}{table.name}"
    columns = ", ".join(column.name for column in table.c)
    if "timestamp_utc" not in table.c and CREATED_ID not in table.c:
        return f"INSERT INTO {table.name} ({columns}) SELECT {values} FROM {legacy}"  # noqa: S608  # fixed names
    # Rows are ordered by id here, so rows with the same microsecond get consecutive microseconds.
    return (
        f"WITH numbered AS (SELECT *, row_number() OVER (ORDER BY timestamp_utc, id) AS n, "  # noqa: S608  # as above
        f"(extract(epoch FROM timestamp_utc) * 1000000)::bigint AS own FROM {legacy}), "
        "placed AS (SELECT *, n + max(own - n) OVER (ORDER BY n) AS us FROM numbered) "
        f"INSERT INTO {table.name} ({columns}) SELECT {values} FROM placed"
    )


def _value(column: Column[Any], found: dict[str, str]) -> str:
    """Return the SQL for a column's value. ``us`` in it is the row's time in microseconds since 1970."""
    name, table = column.name, column.table
    if name == CREATED_ID or (name == "id" and "timestamp_utc" in table.c):
        return (
            "(lpad(to_hex(us / 1000), 12, '0') || lpad(to_hex(28672 + us % 1000 * 4), 4, '0') || "
            "right(replace(gen_random_uuid()::text, '-', ''), 16))::uuid"
        )
    if name == "timestamp_utc":
        return "timestamptz 'epoch' + us * interval '1 microsecond'"
    if name == EXPIRES_AT:
        return "CASE WHEN ttl_secs <= 0 THEN timestamptz 'epoch' ELSE created_at + ttl_secs * interval '1 second' END"
    if name == UPDATED_AT:
        return "NULL::timestamptz"
    read = _read(column, found)
    return f"{read}::json" if isinstance(column.type, JsonDocument) else read


def _grants(connection: Connection) -> Iterator[str]:
    """Yield the statements that restore the owners and grants of the tables."""
    quote = connection.dialect.identifier_preparer.quote
    owners = text(
        "SELECT tablename, tableowner FROM pg_tables "
        "WHERE schemaname = current_schema() AND tablename = ANY(:names) AND tableowner <> current_user"
    )
    grants = text(
        "SELECT g.table_name, g.privilege_type, g.grantee FROM information_schema.role_table_grants g "
        "JOIN pg_tables t ON t.schemaname = g.table_schema AND t.tablename = g.table_name "
        "WHERE g.table_schema = current_schema() AND g.table_name = ANY(:names) AND g.grantee <> t.tableowner"
    )
    roles = {}
    for table, privilege, grantee in connection.execute(grants, _NAMES):
        roles[grantee] = "PUBLIC" if grantee == "PUBLIC" else quote(grantee)
        yield f"GRANT {privilege} ON {table} TO {roles[grantee]}"
    for table, owner in connection.execute(owners, _NAMES):
        roles[owner] = quote(owner)
        yield f"ALTER TABLE {table} OWNER TO {roles[owner]}"
    for role in roles.values():  # because opening a storage reads the revision
        yield f"GRANT SELECT ON {VERSION_TABLE} TO {role}"
        for table in (pruning.name, audit_seals.name):
            yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}"
