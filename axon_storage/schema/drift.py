"""Compares the tables in a database with this package's tables, including collations."""

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, Table, inspect
from sqlalchemy.engine.interfaces import ReflectedColumn, ReflectedIndex
from sqlalchemy.engine.reflection import Inspector

from axon_storage.dialects import Dialect, dialect_of
from axon_storage.schema import distribution, row_security
from axon_storage.sql.tables import metadata


def differences(connection: Connection) -> list[str]:
    """Return a line for each difference in columns, types, collations, nullability, defaults, keys, indexes or options.

    Alembic's own comparison does not look at primary keys, their order, collations, or the precision of timestamps.
    """
    dialect, inspector = dialect_of(connection.dialect), inspect(connection)
    names = set(inspector.get_table_names())
    lines: list[str] = []
    for table in metadata.sorted_tables:
        expected = dict(_expected(table, dialect, connection))
        found = dict(_found(table.name, dialect, connection, inspector)) if table.name in names else {}
        lines += [
            f"{part}: {found.get(part, 'missing')}, not {expected.get(part, 'there')}"
            for part in sorted(expected | found)
            if expected.get(part) != found.get(part)
        ]
    return lines + row_security.differences(connection) + distribution.differences(connection)


def _expected(table: Table, dialect: Dialect, connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield a (part, description) pair for each part of a table of this package."""
    for column in table.c:
        kind = dialect.normalised_type(column.type.compile(dialect=connection.dialect))
        yield f"{table.name}.{column.name}", _column(kind, nullable=bool(column.nullable))
    yield f"{table.name}, primary key", _names(column.name for column in table.primary_key)
    for index in table.indexes:
        yield f"{table.name}, index {index.name}", _names(column.name for column in index.columns)
    yield from dialect.expected_options(table)


def _found(name: str, dialect: Dialect, connection: Connection, inspector: Inspector) -> Iterator[tuple[str, str]]:
    """Yield a (part, description) pair for each part of a table in the database."""
    for column in inspector.get_columns(name):
        yield f"{name}.{column['name']}", _reflected_column(column, dialect, connection)
    yield f"{name}, primary key", _names(inspector.get_pk_constraint(name)["constrained_columns"])
    indexes = {index["name"]: index for index in inspector.get_indexes(name)}
    for index in indexes.values():
        yield f"{name}, index {index['name']}", _reflected_index(index)
    for unique in inspector.get_unique_constraints(name):
        if unique["name"] not in indexes:  # some databases also report a constraint as an index
            yield f"{name}, index {unique['name']}", f"unique {_names(unique['column_names'])}"
    for check in inspector.get_check_constraints(name):
        yield f"{name}, check {check['name']}", str(check["sqltext"])
    for foreign in inspector.get_foreign_keys(name):
        yield f"{name}, foreign key {foreign['name']}", f"to {foreign['referred_table']}"
    yield from dialect.extra_differences(connection, name)


def _reflected_column(column: ReflectedColumn, dialect: Dialect, connection: Connection) -> str:
    kind = dialect.normalised_type(column["type"].compile(dialect=connection.dialect))
    return _column(kind, nullable=column["nullable"], default=column["default"])


def _column(kind: str, *, nullable: bool, default: str | None = None) -> str:
    return f"{kind}{'' if nullable else ' NOT NULL'}{'' if default is None else f' DEFAULT {default}'}"


def _reflected_index(index: ReflectedIndex) -> str:
    # such as the condition of a partial index, or the INCLUDE columns of a covering index
    options = {name: value for name, value in (index.get("dialect_options") or {}).items() if value}
    kind = "unique " if index["unique"] else ""
    columns = _names(str(name) for name in index["column_names"])
    return f"{kind}{columns}{options or ''}{index.get('column_sorting', '')}"


def _names(names: Iterable[str]) -> str:
    return f"({', '.join(names)})"
