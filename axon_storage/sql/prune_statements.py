"""The statements of prune and erase runs. Each is built once and cached, as those of ``statements``."""

from typing import Any

from sqlalchemy import ColumnElement, Executable, Select, Table, Update, bindparam, func, null, or_, select, update
from sqlalchemy import Delete as DeleteStatement

from axon_storage.dialects import Dialect
from axon_storage.model.cached import cached
from axon_storage.model.rows import Row
from axon_storage.sql.statements import Names, by_index_of, equal, in_keys, recorded, tenant_equals
from axon_storage.sql.tables import CREATED_ID, TABLES, UPDATED_AT, pruning


def key_of(table: Table) -> Names:
    """Return the columns of the primary key after the tenant."""
    return tuple(column.name for column in table.primary_key)[1:]


def order_of(row_type: type[Row], where: Names, *, by_age: bool) -> Names:
    """Return the columns by which a run reads rows, without those that ``where`` fixes.

    ``by_age``: by the id that contains the time of the first save, if the table has one; else by the primary key.
    """
    table = TABLES[row_type]
    if by_age and UPDATED_AT not in table.c:
        return (CREATED_ID if row_type.KEY else "id",)
    return tuple(name for name in key_of(table) if name not in where)


@cached
def list_old(
    dialect: Dialect, row_type: type[Row], where: Names, *, by_age: bool, depth: int | None, by_index: bool = True
) -> Select[Any]:
    """Select the keys of the next ``limit`` rows in a range of the index, with the columns that tell their age.

    ``depth``: the number of columns of the order that equal the last position; the next column is greater. None: from
    the start. ``by_index``: add an index hint on the databases that need one.
    """
    table, names = TABLES[row_type], order_of(row_type, where, by_age=by_age)
    order = [table.c[name] for name in names]
    conditions = [tenant_equals(table), *equal(table, where)]
    if depth is not None:
        conditions += [column == bindparam(f"after_{column.name}") for column in order[:depth]]
        conditions.append(order[depth] > bindparam(f"after_{order[depth].name}"))
    conditions += _recorded_before(row_type) if by_age else []
    keys = key_of(table)
    further = [name for name in names if name not in keys] + ([UPDATED_AT] if by_age and UPDATED_AT in table.c else [])
    statement = select(*[table.c[name] for name in (*keys, *further)]).where(*conditions)
    statement = statement.order_by(*order[depth or 0 :]).limit(bindparam("limit"))
    return by_index_of(dialect, statement, table, where, order[0]) if by_index else statement


@cached
def delete_old(dialect: Dialect, row_type: type[Row], *, by_age: bool) -> DeleteStatement:
    """Delete rows by key.

    ``by_age``: only those that are still old, because a row may have been saved again in the meantime.
    """
    table = TABLES[row_type]
    conditions = [tenant_equals(table), in_keys(dialect, table, key_of(table))]
    if by_age and UPDATED_AT in table.c:
        conditions.append(table.c[UPDATED_AT] < bindparam("before"))
    elif by_age:
        conditions += _recorded_before(row_type)
    return dialect.delete(table, *conditions)


@cached
def set_updated_at(row_type: type[Row]) -> Update:
    """Set when a row was last saved, if that is still unknown."""
    # Other names for the parameters: SQLAlchemy would also set a column that has the name of a parameter.
    table = TABLES[row_type]
    key = [column == bindparam(f"of_{column.name}") for column in table.primary_key]
    return update(table).where(*key, table.c[UPDATED_AT].is_(None)).values({UPDATED_AT: bindparam("now")})


@cached
def lease() -> Select[Any]:
    """Select until when the lease of a table is held."""
    return select(pruning.c.held_until).where(*_of_table())


@cached
def pruned_before() -> Select[Any]:
    """Select up to when a table was pruned."""
    return select(pruning.c.pruned_before).where(*_of_table())


@cached
def insert_lease(dialect: Dialect) -> Executable:
    """Insert the row of a table, unless it exists."""
    return dialect.insert_once(pruning)


@cached
def take_lease() -> Update:
    """Take the lease, unless another run holds it."""
    columns = pruning.c
    free = or_(columns.holder.is_(None), columns.holder == bindparam("run"), columns.held_until <= bindparam("now"))
    return _update(free).values(holder=bindparam("run"), held_until=bindparam("until"))


@cached
def renew_lease() -> Update:
    """Extend the lease, if this run holds it."""
    return _update(pruning.c.holder == bindparam("run")).values(held_until=bindparam("until"))


@cached
def release_lease() -> Update:
    """Release the lease, if this run holds it."""
    return _update(pruning.c.holder == bindparam("run")).values(holder=null(), held_until=null())


@cached
def note_pruned() -> Update:
    """Record up to when a table is pruned; an earlier time does not replace a later one."""
    column = pruning.c.pruned_before
    return _update(or_(column.is_(None), column < bindparam("mark"))).values(pruned_before=bindparam("mark"))


@cached
def count_pruned() -> Select[Any]:
    """Count the records of a tenant."""
    return select(func.count()).select_from(pruning).where(tenant_equals(pruning))


@cached
def list_pruned() -> Select[Any]:
    """Return the tables of a tenant that were pruned, and up to when."""
    columns = pruning.c
    was_pruned = columns.pruned_before.is_not(None)
    return select(columns.table_name, columns.pruned_before).where(tenant_equals(pruning), was_pruned)


@cached
def forget_pruned() -> DeleteStatement:
    """Delete the records of a tenant."""
    return pruning.delete().where(tenant_equals(pruning))


def _update(condition: ColumnElement[bool]) -> Update:
    return update(pruning).where(*_of_table(), condition)


def _of_table() -> list[ColumnElement[bool]]:
    return [pruning.c.tenant_id == bindparam("of_tenant"), pruning.c.table_name == bindparam("of_table")]


def _recorded_before(row_type: type[Row]) -> list[ColumnElement[bool]]:
    return [recorded(row_type) < bindparam("before")] if UPDATED_AT not in TABLES[row_type].c else []
