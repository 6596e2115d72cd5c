"""The distinct values of an indexed column: the scopes of a tenant, and the tenants of all tables."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Executable, Table, literal_column, union_all

from axon_storage.dialects import Dialect, dialect_of
from axon_storage.model.cached import cached
from axon_storage.model.requests import ListScopes, ListTenants
from axon_storage.sql.statements import UPPER, Names, tenant_equals, within
from axon_storage.sql.tables import TABLES
from axon_storage.sql.unit_of_work import UnitOfWork


def list_scopes(dialect: Dialect, request: ListScopes) -> UnitOfWork[list[str]]:
    """Read the distinct values of the first key field."""
    pages = _Pages(dialect, (TABLES[request.row_type],), request.row_type.KEY[0], dialect.distinct_values)
    run = partial(pages.read, {"tenant_id": request.tenant}, request.bounds, request.limit)
    return UnitOfWork(run, writes=False, can_autocommit=True)


def list_tenants(dialect: Dialect, _request: ListTenants) -> UnitOfWork[list[str]]:
    """Read the tenants that have rows."""
    # a tenant has many rows, so that reading the first rows to find several tenants would take longer
    size = dialect.distinct_values if dialect.distinct_is_exact else 1
    pages = _Pages(dialect, tuple(TABLES.values()), "tenant_id", size)
    return UnitOfWork(partial(pages.read, {}, {}, None), writes=False, can_autocommit=True)


@cached
def distinct_values(dialect: Dialect, tables: tuple[Table, ...], column: str, bounds: Names) -> Executable:
    """Select, from each table, its number and the first ``limit`` distinct values of a column within the bounds.

    The column is ``tenant_id``, or the first key field of the rows of a tenant.
    """
    return union_all(*[_of_table(dialect, number, table, column, bounds) for number, table in enumerate(tables)])


def _of_table(dialect: Dialect, number: int, table: Table, column: str, bounds: Names) -> Any:
    of_tenant = [] if column == "tenant_id" else [tenant_equals(table)]
    upper = within(table.c[column], tuple(name for name in bounds if name in UPPER))
    lower = within(table.c[column], tuple(name for name in bounds if name not in UPPER))
    return dialect.distinct(literal_column(str(number)), table.c[column], [*of_tenant, *upper], lower)


@dataclass(frozen=True, slots=True)
class _Pages:
    """Reads the distinct values of a column in pages; ``size``: the ``limit`` of a statement."""

    dialect: Dialect
    tables: tuple[Table, ...]
    column: str
    size: int

    def read(
        self, parameters: Mapping[str, Any], bounds: Mapping[str, Any], limit: int | None, connection: Connection
    ) -> list[str]:
        """Return the values; each page begins above the last value of the page before."""
        found: list[str] = []
        while limit is None or len(found) < limit:
            size = self.size if limit is None else min(limit - len(found), self.size)
            rows = self._rows(parameters, bounds, size, connection)
            page, is_last = self._page([(number, value) for number, value in rows if value is not None], size)
            found += page
            if is_last:
                break
            bounds = {"above": page[-1]} | {name: bounds[name] for name in bounds if name in UPPER}
        return found

    def _rows(
        self, parameters: Mapping[str, Any], bounds: Mapping[str, Any], size: int, connection: Connection
    ) -> Iterable[Sequence[Any]]:
        # The dialect of a connection may be known better than when the storage was made.
        if self.column == "tenant_id" and (dialect := dialect_of(connection.dialect)).has_places:
            return dialect.first_tenants(connection, self.tables, size, bounds.get("above"))
        statement = distinct_values(self.dialect, self.tables, self.column, tuple(bounds))
        return connection.execute(statement, {**parameters, **bounds, "limit": size}).all()

    def _page(self, rows: Sequence[tuple[int, str]], size: int) -> tuple[list[str], bool]:
        """Return the values up to which each table was read completely, sorted, and whether there are no others."""
        by_table: dict[int, list[str]] = {}
        for number, value in rows:
            by_table.setdefault(number, []).append(value)
        is_exact = self.dialect.distinct_is_exact
        ends = [max(values) for values in by_table.values() if len(values) == size or not is_exact]
        values = sorted({value for _number, value in rows if not ends or value <= min(ends)})
        return values, not ends
