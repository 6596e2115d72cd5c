"""The SQLAlchemy Core statements. Each is built once and cached. Parameters have the names of their columns."""

from collections.abc import Iterator, Sequence
from operator import ge, gt, le, lt
from typing import Any

from sqlalchemy import ColumnElement, Executable, Index, PrimaryKeyConstraint, Select, Table, bindparam, or_, select
from sqlalchemy import Delete as DeleteStatement
from sqlalchemy import delete as sqlalchemy_delete

from axon_storage.dialects import Dialect
from axon_storage.model.cached import cached
from axon_storage.model.rows import Row, fields_of
from axon_storage.sql.tables import CREATED_ID, EXPIRES_AT, TABLES

Names = tuple[str, ...]

STATEMENT_ROWS = 1_000
"""The maximum number of rows that one statement writes or deletes by their keys."""

BOUNDS = {"at_least": ge, "above": gt, "below": lt, "at_most": le}
"""The limits of a range of keys: the names of their parameters, with their comparisons."""

UPPER = frozenset({"below", "at_most"})
"""The names of the bounds that are upper bounds."""


@cached
def save(dialect: Dialect, row_type: type[Row], *, keep: bool = False) -> Executable:
    """Insert a row, or replace the row with the same key; with ``keep``, insert it unless its key exists."""
    table = TABLES[row_type]
    return dialect.insert_once(table) if keep else dialect.upsert(table)


@cached
def save_batch(dialect: Dialect, row_type: type[Row], *, keep: bool = False) -> Executable:
    """Store several rows with different keys, each as :func:`save` does."""
    return dialect.batch(save(dialect, row_type, keep=keep), TABLES[row_type])


@cached
def create(dialect: Dialect, row_type: type[Row]) -> Executable:
    """Insert a row unless its key exists; the number of rows, or an error, says which."""
    return dialect.create(TABLES[row_type])


@cached
def get(row_type: type[Row]) -> Select[Any]:
    """Select a row by its key, unless it expired at or before ``now``."""
    table = TABLES[row_type]
    return _fields(row_type).where(tenant_equals(table), *equal(table, row_type.KEY), *_live(table))


@cached
def list_by_key(
    row_type: type[Row], prefix: Names, bounds: Names = (), *, limited: bool = False, reverse: bool = False
) -> Select[Any]:
    """Select the rows whose key begins with ``prefix``, in key order, unless they expired at or before ``now``.

    ``bounds``: the names in ``BOUNDS`` of the limits of the key field after the prefix. ``limited``: with LIMIT.
    """
    table = TABLES[row_type]
    # without the fields of the prefix, because MariaDB sorts by them even though they are constant
    order = [table.c[name].desc() if reverse else table.c[name] for name in row_type.KEY[len(prefix) :]]
    statement = _fields(row_type).where(*_range(row_type, prefix, bounds), *_live(table))
    statement = statement.order_by(*order)
    return statement.limit(bindparam("limit")) if limited else statement


@cached
def list_by_keys(dialect: Dialect, row_type: type[Row], *, reverse: bool = False) -> Select[Any]:
    """Select rows by key, in key order; the last key field is in the list ``last``."""
    table = TABLES[row_type]
    *prefix, name = row_type.KEY
    matches = dialect.in_list(table.c[name], "last")
    statement = _fields(row_type).where(tenant_equals(table), *equal(table, tuple(prefix)), matches, *_live(table))
    return statement.order_by(table.c[name].desc() if reverse else table.c[name])


@cached
def list_newest(
    dialect: Dialect,
    row_type: type[Row],
    where: Names,
    *,
    has_offset: bool,
    with_ids: bool = False,
    by_index: bool = True,
) -> Select[Any]:
    """Select rows whose fields equal ``where``, newest first, with LIMIT and OFFSET.

    ``with_ids``: with their ids, as :func:`list_page` does. ``by_index``: add an index hint on the databases that need
    one.
    """
    table, order = TABLES[row_type], recorded(row_type)
    selected = select(order, *_columns(row_type)) if with_ids else _fields(row_type)
    statement = selected.where(tenant_equals(table), *equal(table, where)).order_by(order.desc())
    statement = statement.limit(bindparam("limit"))
    statement = statement.offset(bindparam("offset")) if has_offset else statement
    return by_index_of(dialect, statement, table, where, order) if by_index else statement


@cached
def list_page(
    dialect: Dialect, row_type: type[Row], where: Names, *, reverse: bool = False, by_index: bool = True
) -> Select[Any]:
    """Select the first ``limit`` rows whose fields equal ``where``, with their ids, between ``after`` and ``before``.

    ``reverse``: the newest first. ``by_index``: add an index hint on the databases that need one.
    """
    table, order = TABLES[row_type], recorded(row_type)
    between = order > bindparam("after"), order < bindparam("before")
    statement = select(order, *_columns(row_type)).where(tenant_equals(table), *equal(table, where), *between)
    statement = statement.order_by(order.desc() if reverse else order).limit(bindparam("limit"))
    return by_index_of(dialect, statement, table, where, order) if by_index else statement


@cached
def list_ids(dialect: Dialect, row_type: type[Row], where: Names, *, by_index: bool = True) -> Select[Any]:
    """Select the ids between ``after`` and ``before`` of rows whose fields equal ``where``, with an index hint."""
    table, order = TABLES[row_type], recorded(row_type)
    between = order > bindparam("after"), order < bindparam("before")
    statement = select(order).where(tenant_equals(table), *equal(table, where), *between)
    return by_index_of(dialect, statement, table, where, order) if by_index else statement


@cached
def list_by_ids(dialect: Dialect, row_type: type[Row]) -> Select[Any]:
    """Select the rows whose ids are in the list ``ids``, with their ids, in the order of the ids."""
    table, order = TABLES[row_type], recorded(row_type)
    statement = select(order, *_columns(row_type)).where(tenant_equals(table), dialect.in_list(order, "ids"))
    return statement.order_by(order)


@cached
def delete(dialect: Dialect, row_type: type[Row]) -> DeleteStatement:
    """Delete rows by key; the last key field equals ``last``, or is in the list ``last``."""
    table = TABLES[row_type]
    *prefix, name = row_type.KEY
    last = table.c[name]
    matches = dialect.in_list(last, "last") if dialect.deletes_lists else last == bindparam("last")
    return dialect.delete(table, tenant_equals(table), *equal(table, tuple(prefix)), matches)


@cached
def delete_one(row_type: type[Row]) -> DeleteStatement:
    """Delete a row by key; the last key field equals ``last``."""
    table = TABLES[row_type]
    *prefix, name = row_type.KEY
    matches = table.c[name] == bindparam("last")
    return sqlalchemy_delete(table).where(tenant_equals(table), *equal(table, tuple(prefix)), matches)


@cached
def delete_range(dialect: Dialect, row_type: type[Row], prefix: Names, bounds: Names) -> DeleteStatement:
    """Delete the rows whose key begins with ``prefix`` and is within the bounds, as in :func:`list_by_key`."""
    return dialect.delete(TABLES[row_type], *_range(row_type, prefix, bounds))


@cached
def lock_range(row_type: type[Row], prefix: Names, bounds: Names) -> Select[Any]:
    """Lock the rows that :func:`delete_range` deletes; fail at once if one is locked."""
    rows = select(TABLES[row_type].c["tenant_id"]).where(*_range(row_type, prefix, bounds))
    return rows.with_for_update(nowait=True)


@cached
def evict_expired(dialect: Dialect, row_type: type[Row]) -> DeleteStatement:
    """Delete the rows that expired at or before ``now``."""
    table = TABLES[row_type]
    return dialect.delete(table, tenant_equals(table), table.c[EXPIRES_AT] <= bindparam("now"))


def tenant_equals(table: Table) -> ColumnElement[bool]:
    """Return the condition that a row belongs to the tenant of the parameter ``tenant_id``."""
    return table.c["tenant_id"] == bindparam("tenant_id")


def within(column: ColumnElement[Any], bounds: Names) -> list[ColumnElement[bool]]:
    """Return the conditions that a column's value is within the bounds with these names."""
    return [BOUNDS[name](column, bindparam(name)) for name in bounds]


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
    indexes: list[Index | PrimaryKeyConstraint] = [table.primary_key, *table.indexes]
    for index in indexes:
        if index.columns.keys() == path:
            return dialect.by_index(statement, table, index)
    return statement


def _range(row_type: type[Row], prefix: Names, bounds: Names) -> list[ColumnElement[bool]]:
    table = TABLES[row_type]
    between = within(table.c[row_type.KEY[len(prefix)]], bounds) if bounds else []
    return [tenant_equals(table), *equal(table, prefix), *between]


def equal(table: Table, names: Names) -> list[ColumnElement[bool]]:
    """Return the conditions that columns equal the parameters with their names."""
    return [table.c[name] == bindparam(name) for name in names]


def in_keys(dialect: Dialect, table: Table, names: Names) -> ColumnElement[bool]:
    """Return the condition that the columns ``names`` are one of the keys of :func:`key_executions`."""
    return dialect.in_keys([table.c[name] for name in names])


def key_executions(
    dialect: Dialect, names: Names, keys: Sequence[tuple[Any, ...]], others: dict[str, Any]
) -> Iterator[list[dict[str, Any]]]:
    """Yield the parameters of a statement with :func:`in_keys`: one set, or a batch. ``others``: other parameters."""
    for start in range(0, len(keys), STATEMENT_ROWS):
        chunk = keys[start : start + STATEMENT_ROWS]
        yield [others | parameters for parameters in dialect.key_parameters(names, chunk)]


def _live(table: Table) -> list[ColumnElement[bool]]:
    if EXPIRES_AT not in table.c:
        return []
    expires_at = table.c[EXPIRES_AT]
    return [or_(expires_at.is_(None), expires_at > bindparam("now"))]
