"""Turns the tables of an AxonServer, the Rust server this package's idea came from, into ours, keeping every row.

Its tables, on PostgreSQL alone, have our names, a BIGSERIAL ``id``, JSONB, INT and BIGINT for unsigned numbers, and
(from its fourth migration on) ``tenant_id`` and row-level security: axon-rs/migrations of the axon-lang repository.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, Table, inspect, text

from axon_storage.dialects import dialect_of
from axon_storage.errors import SerializationError, StorageConnectionError
from axon_storage.model.json import parse_json
from axon_storage.model.rows import Row, check_row, fields_of
from axon_storage.model.values import Json
from axon_storage.sql.tables import CREATED_ID, EXPIRES_AT, TABLES, VERSION_TABLE, metadata
from axon_storage.sql.types import JsonDocument, UInt32, UInt64

_OLD = "axonserver_"
_PAGE = 1_000
_MOST_REFUSALS = 100
_NAMES = {"names": list(metadata.tables)}
_SECURED = text(
    "SELECT relname FROM pg_class WHERE relrowsecurity AND relname = ANY(:names) "
    "AND relnamespace = current_schema()::regnamespace ORDER BY relname"
)


@dataclass
class Findings:
    """What there is to adopt.

    ``rows``: how many each table has. ``refusals``: what does not fit the contract; ``losses``: what is there beside
    the rows, and will not be after; a line each.
    """

    rows: dict[str, int] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


def look(connection: Connection) -> Findings:
    """Read every row as it would become, and change nothing."""
    _check_place(connection)
    findings = Findings()
    # a policy that would hide rows is an error rather than fewer rows
    connection.exec_driver_sql("SET LOCAL row_security = off")
    findings.losses += [f"{name}: its row-level security" for name in connection.execute(_SECURED, _NAMES).scalars()]
    for row_type, table in TABLES.items():
        findings.rows[table.name] = 0
        findings.refusals += _moments_out_of_range(connection, table)
        for key, values in _stored(connection, row_type, table):
            findings.rows[table.name] += 1
            if refusal := _refusal(row_type, values):
                findings.refusals.append(f"{refusal} ({key})")
            if len(findings.refusals) >= _MOST_REFUSALS:
                findings.refusals.append("and perhaps more")
                return findings
    return findings


def adopt(connection: Connection, stamp: Callable[[Connection], None]) -> Findings:
    """Turn the tables into ours in the connection's transaction; ``stamp`` writes the revision they then have."""
    _check_place(connection)
    for table in TABLES.values():
        connection.exec_driver_sql(f"LOCK TABLE {table.name} IN ACCESS EXCLUSIVE MODE")
    findings = look(connection)
    if findings.refusals:
        raise SerializationError("\n".join(["these values do not fit, and nothing was changed:", *findings.refusals]))
    rights = list(_rights(connection))
    for table in TABLES.values():
        connection.exec_driver_sql(f"ALTER TABLE {table.name} RENAME TO {_OLD}{table.name}")
    metadata.create_all(connection)
    for table in TABLES.values():
        connection.exec_driver_sql(_copy(table, _columns(connection, _OLD + table.name)))
        copied = connection.exec_driver_sql(f"SELECT count(*) FROM {table.name}").scalar_one()  # noqa: S608  # ours
        if copied != findings.rows[table.name]:
            raise StorageConnectionError(f"{table.name}: {copied} rows copied of {findings.rows[table.name]}")
    for table in TABLES.values():
        connection.exec_driver_sql(f"DROP TABLE {_OLD}{table.name}")
        connection.exec_driver_sql(f"ANALYZE {table.name}")
    stamp(connection)
    for right in rights:
        connection.exec_driver_sql(right)
    return findings


def _check_place(connection: Connection) -> None:
    """Refuse a database that is not an AxonServer's."""
    dialect = dialect_of(connection.dialect)
    if not dialect.has_axon_servers:
        raise StorageConnectionError(f"an AxonServer keeps its tables in PostgreSQL, and this is {dialect.title}")
    there = set(inspect(connection).get_table_names())
    if VERSION_TABLE in there:
        raise StorageConnectionError("the tables are this package's already: `axon-storage migrate upgrade`")
    for row_type, table in TABLES.items():
        missing = {name for name, _ in fields_of(row_type)} - _columns(connection, table.name).keys() - {"tenant_id"}
        if table.name not in there or missing:
            what = f"{table.name} lacks {', '.join(sorted(missing))}" if table.name in there else f"no {table.name}"
            raise StorageConnectionError(f"these are not an AxonServer's tables: {what}")


def _columns(connection: Connection, table: str) -> dict[str, str]:
    """The columns of a table that is there, each with its type as PostgreSQL writes it."""
    query = text(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
        "WHERE attrelid = to_regclass(:name) AND attnum > 0 AND NOT attisdropped"
    )
    return {str(name): str(kind) for name, kind in connection.execute(query, {"name": table})}


def _stored(connection: Connection, row_type: type[Row], table: Table) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of each row, documents as their text, with words that tell which row it is."""
    there = _columns(connection, table.name)
    columns = [table.c[name] for name, _ in fields_of(row_type)]
    query = f"SELECT {', '.join(_read(column, there) for column in columns)} FROM {table.name}"  # noqa: S608  # ours
    # a cursor that can be closed, since a table with an open one cannot be dropped
    connection.exec_driver_sql(f"DECLARE stored_{table.name} NO SCROLL CURSOR FOR {query}")
    while page := connection.exec_driver_sql(f"FETCH {_PAGE} FROM stored_{table.name}").all():
        for row in page:
            values = {column.name: _unwrapped(column, value) for column, value in zip(columns, row, strict=True)}
            yield ", ".join(f"{name} {values[name]!r:.40}" for name in ("tenant_id", *row_type.KEY)), values
    connection.exec_driver_sql(f"CLOSE stored_{table.name}")


def _unwrapped(column: Column[Any], value: Any) -> Any:
    """A number above 2^63-1 has wrapped."""
    return value % 2**64 if isinstance(column.type, UInt64) and value is not None else value


def _moments_out_of_range(connection: Connection, table: Table) -> Iterator[str]:
    for name, kind in _columns(connection, table.name).items():
        if kind != "timestamp with time zone":
            continue
        query = text(
            f"SELECT {name}::text FROM {table.name} "  # noqa: S608  # names are ours
            f"WHERE {name} < timestamptz 'epoch' OR {name} >= timestamptz '9999-01-01 00:00:00+00' "
            f"LIMIT {_MOST_REFUSALS}"
        )
        for moment in connection.execute(query).scalars():
            yield f"{table.name}.{name}: {moment} is not between 1970 and 9998"


def _refusal(row_type: type[Row], values: dict[str, Any]) -> str | None:
    """Why a row cannot be kept, or None."""
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


def _read(column: Column[Any], there: dict[str, str]) -> str:
    """An expression for a column of ours over the columns that are there."""
    name = column.name
    if name == "tenant_id" and name not in there:
        return "'default'"
    if isinstance(column.type, UInt32) and there[name] == "integer":  # where what was above 2^31-1 has wrapped
        return f"{name}::bigint & 4294967295"
    return f"{name}::text" if isinstance(column.type, JsonDocument) else name


def _copy(table: Table, there: dict[str, str]) -> str:
    """The statement that fills a table of ours from the one it was."""
    values = ", ".join(_value(column, there) for column in table.c)
    old = f"{_OLD}{table.name}"
    columns = ", ".join(column.name for column in table.c)
    if "timestamp_utc" not in table.c and CREATED_ID not in table.c:
        return f"INSERT INTO {table.name} ({columns}) SELECT {values} FROM {old}"  # noqa: S608  # names are ours
    # An id carries the order: of rows of the same microsecond each is put one later than the one before.
    return (
        f"WITH numbered AS (SELECT *, row_number() OVER (ORDER BY timestamp_utc, id) AS n, "  # noqa: S608  # as above
        f"(extract(epoch FROM timestamp_utc) * 1000000)::bigint AS own FROM {old}), "
        "placed AS (SELECT *, n + max(own - n) OVER (ORDER BY n) AS us FROM numbered) "
        f"INSERT INTO {table.name} ({columns}) SELECT {values} FROM placed"
    )


def _value(column: Column[Any], there: dict[str, str]) -> str:
    """An expression for what a column of ours stores, over the columns that are there and ``us``, the row's moment."""
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
    read = _read(column, there)
    return f"{read}::json" if isinstance(column.type, JsonDocument) else read


def _rights(connection: Connection) -> Iterator[str]:
    """What others than ourselves may do with the tables, as statements that give it to them again."""
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
    for role in roles.values():  # whoever opens the storage looks at its revision
        yield f"GRANT SELECT ON {VERSION_TABLE} TO {role}"
