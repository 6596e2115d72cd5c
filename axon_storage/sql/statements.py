"""The SQLAlchemy Core statements. Each is built once and cached. Parameters have the names of their columns."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Select,
    Table,
    bindparam,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy import Delete as DeleteStatement

from axon_storage.dialects import Dialect
from axon_storage.model.cached import cached
from axon_storage.model.rows import Row, fields_of
from axon_storage.sql.tables import CREATED_ID, EXPIRES_AT, TABLES

Names = tuple[str, ...]


@cached
def save(dialect: Dialect, row_type: type[Row]) -> Executable:
    """Insert a row, or replace the row with the same key; in an append-only table, insert it unless its id exists."""
    table = TABLES[row_type]
    return dialect.upsert(table) if row_type.KEY else dialect.insert_once(table)


@cached
def save_batch(dialect: Dialect, row_type: type[Row]) -> Executable:
    """Store several rows with different keys, each as :func:`save` does."""
    return dialect.batch(save(dialect, row_type), TABLES[row_type])


@cached
def get(row_type: type[Row]) -> Select[Any]:
    """Select a row by its key, unless it expired at or before ``now``."""
    table = TABLES[row_type]
    return _fields(row_type).where(tenant(table), *equal(table, row_type.KEY), *_live(table))


@cached
def list_by_key(row_type: type[Row], prefix: Names) -> Select[Any]:
    """Select the rows whose key begins with ``prefix``, in key order, unless they expired at or before ``now``."""
    table = TABLES[row_type]
    order = [table.c[name] for name in row_type.KEY]
    return _fields(row_type).where(tenant(table), *equal(table, prefix), *_live(table)).order_by(*order)


@cached
def list_newest(
    dialect: Dialect, row_type: type[Row], where: Names, *, has_offset: bool, by_index: bool = True
) -> Select[Any]:
    """Select rows whose fields equal ``where``, newest first, with LIMIT and OFFSET.

    ``by_index``: add an index hint on the databases that need one.
    """
    table, order = TABLES[row_type], recorded(row_type)
    statement = _fields(row_type).where(tenant(table), *equal(table, where)).order_by(order.desc())
    statement = statement.limit(bindparam("limit"))
    statement = statement.offset(bindparam("offset")) if has_offset else statement
    return by_index_of(dialect, statement, table, where, order) if by_index else statement


@cached
def list_page(dialect: Dialect, row_type: type[Row], where: Names, *, by_index: bool = True) -> Select[Any]:
    """Select the first ``limit`` rows whose fields equal ``where``, with their ids, between ``after`` and ``before``.

    ``by_index``: add an index hint on the databases that need one.
    """
    table, order = TABLES[row_type], recorded(row_type)
    between = order > bindparam("after"), order < bindparam("before")
    statement = select(order, *_columns(row_type)).where(tenant(table), *equal(table, where), *between)
    statement = statement.order_by(order).limit(bindparam("limit"))
    return by_index_of(dialect, statement, table, where, order) if by_index else statement


@cached
def delete(dialect: Dialect, row_type: type[Row]) -> DeleteStatement:
    """Delete rows by key; the last key field equals ``last``, or is in the list ``last``."""
    table = TABLES[row_type]
    *prefix, name = row_type.KEY
    last = table.c[name]
    matches = dialect.in_list(last, "last") if dialect.deletes_lists else last == bindparam("last")
    return dialect.delete(table, tenant(table), *equal(table, tuple(prefix)), matches)


@cached
def evict_expired(dialect: Dialect, row_type: type[Row]) -> DeleteStatement:
    """Delete the rows that expired at or before ``now``."""
    table = TABLES[row_type]
    return dialect.delete(table, tenant(table), table.c[EXPIRES_AT] <= bindparam("now"))


@cached
def next_scope(row_type: type[Row], *, first: bool) -> Select[Any]:
    """Select the smallest value of the first key field, or the smallest value above ``last``."""
    table = TABLES[row_type]
    column = table.c[row_type.KEY[0]]
    statement = select(func.min(column)).where(tenant(table))
    return statement if first else statement.where(column > bindparam("last"))


@cached
def next_tenant(*, first: bool) -> Executable:
    """Select the smallest tenant of each table, or the smallest tenant above ``last``."""
    seeks = []
    for table in TABLES.values():
        column = table.c["tenant_id"]
        seek = select(func.min(column).label("tenant_id"))
        seeks.append(seek if first else seek.where(column > bindparam("last")))
    return union_all(*seeks)


def _fields(row_type: type[Row]) -> Select[Any]:
    return select(*_columns(row_type))


def _columns(row_type: type[Row]) -> list[ColumnElement[Any]]:
    return [TABLES[row_type].c[field.name] for field in fields_of(row_type)]


def recorded(row_type: type[Row]) -> ColumnElement[Any]:
    """Return the UUIDv7 column that orders rows by their first save."""
    return TABLES[row_type].c[CREATED_ID if row_type.KEY else "id"]


def by_index_of(
    dialect: Dialect, statement: Select[Any], table: Table, where: Names, order: ColumnElement[Any]
) -> Select[Any]:
    """Add a hint for the index on the tenant, the columns ``where`` and ``order``, if the database needs one."""
    path = ["tenant_id", *where, order.key]
    index = next((index for index in table.indexes if index.columns.keys() == path), None)
    return statement if index is None else dialect.by_index(statement, table, index)


def tenant(table: Table) -> ColumnElement[bool]:
    """Return the condition that a row belongs to the tenant ``tenant_id``."""
    return table.c["tenant_id"] == bindparam("tenant_id")


def equal(table: Table, names: Names) -> list[ColumnElement[bool]]:
    """Return the conditions that columns equal the parameters with their names."""
    return [table.c[name] == bindparam(name) for name in names]


def _live(table: Table) -> list[ColumnElement[bool]]:
    if EXPIRES_AT not in table.c:
        return []
    expires_at = table.c[EXPIRES_AT]
    return [or_(expires_at.is_(None), expires_at > bindparam("now"))]
