"""Whether the tables in a database are those of this package at its own revision, to the last collation."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, Table, inspect
from sqlalchemy.engine.interfaces import ReflectedColumn, ReflectedIndex
from sqlalchemy.engine.reflection import Inspector

from axon_storage.dialects import Dialect, dialect_of
from axon_storage.sql.tables import metadata

Facts = dict[str, str]
"""What is said of each place, such as ``sessions.key``."""


def differences(connection: Connection) -> list[str]:
    """Give a line for each difference: tables, columns, types, collations, nullability, defaults, keys, indexes.

    Alembic's own comparison does not look at primary keys, their order, collations, or the precision of a moment.
    """
    dialect, database = dialect_of(connection.dialect), inspect(connection)
    there = set(database.get_table_names())
    lines: list[str] = []
    for table in metadata.sorted_tables:
        wanted = dict(_wanted(table, dialect, connection))
        found = dict(_found(table.name, dialect, connection, database)) if table.name in there else {}
        lines += [
            f"{place}: {found.get(place, 'missing')}, not {wanted.get(place, 'there')}"
            for place in sorted(wanted | found)
            if wanted.get(place) != found.get(place)
        ]
    return lines


def _wanted(table: Table, dialect: Dialect, connection: Connection) -> Iterator[tuple[str, str]]:
    for column in table.c:
        kind = dialect.normalised_type(column.type.compile(dialect=connection.dialect))
        yield f"{table.name}.{column.name}", _column(kind, nullable=bool(column.nullable))
    yield f"{table.name}, primary key", _listed(column.name for column in table.primary_key)
    for index in table.indexes:
        yield f"{table.name}, index {index.name}", _listed(column.name for column in index.columns)


def _found(name: str, dialect: Dialect, connection: Connection, database: Inspector) -> Iterator[tuple[str, str]]:
    for column in database.get_columns(name):
        yield f"{name}.{column['name']}", _reflected(column, dialect, connection)
    yield f"{name}, primary key", _listed(database.get_pk_constraint(name)["constrained_columns"])
    indexes = {index["name"]: index for index in database.get_indexes(name)}
    for index in indexes.values():
        yield f"{name}, index {index['name']}", _index(index)
    for unique in database.get_unique_constraints(name):
        if unique["name"] not in indexes:  # elsewhere a constraint is told as its index too
            yield f"{name}, index {unique['name']}", f"unique {_listed(unique['column_names'])}"
    for check in database.get_check_constraints(name):
        yield f"{name}, check {check['name']}", str(check["sqltext"])
    for foreign in database.get_foreign_keys(name):
        yield f"{name}, foreign key {foreign['name']}", f"to {foreign['referred_table']}"
    yield from dialect.extra_differences(connection, name)


def _reflected(column: ReflectedColumn, dialect: Dialect, connection: Connection) -> str:
    kind = dialect.normalised_type(column["type"].compile(dialect=connection.dialect))
    return _column(kind, nullable=column["nullable"], default=column["default"])


def _column(kind: str, *, nullable: bool, default: str | None = None) -> str:
    return f"{kind}{'' if nullable else ' NOT NULL'}{'' if default is None else f' DEFAULT {default}'}"


def _index(index: ReflectedIndex) -> str:
    # of a partial index the condition, of an index with more columns in its leaves those
    options = {name: value for name, value in (index.get("dialect_options") or {}).items() if value}
    kind = "unique " if index["unique"] else ""
    columns = _listed(str(name) for name in index["column_names"])
    return f"{kind}{columns}{options or ''}{index.get('column_sorting', '')}"


def _listed(names: Iterable[str]) -> str:
    return f"({', '.join(names)})"
