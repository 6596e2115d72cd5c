"""Reads the size of each table, with the rows of all tenants."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Executable, bindparam, func, literal, select

from axon_storage.dialects import Dialect, dotted
from axon_storage.model.cached import cached
from axon_storage.model.ids import timestamp_of
from axon_storage.model.requests import ListTenants
from axon_storage.model.rows import Row
from axon_storage.model.stats import StorageStats, TableStats
from axon_storage.sql.distinct import list_tenants
from axon_storage.sql.tables import CREATED_ID, TABLES
from axon_storage.sql.unit_of_work import UnitOfWork

COUNTED_ROWS = 10_000
"""The most rows of a table that are counted on a server. Of larger tables the server's estimate is returned."""

MAX_TENANTS = 1_000
"""The most tenants whose first and last rows are read."""

Period = tuple[datetime, datetime]


def read_stats(dialect: Dialect, revision_of: Callable[[Connection], str | None]) -> UnitOfWork[StorageStats]:
    """Return a unit of work that reads the size of the database. ``revision_of``: reads the schema's revision."""

    def run(connection: Connection) -> StorageStats:
        return StorageStats(
            database=dialect.title,
            server_version=dotted(dialect.server_version(connection.dialect)),
            revision=revision_of(connection),
            tables=_tables(connection, dialect),
        )

    return UnitOfWork(run, writes=False, tenants=None)


def _tables(connection: Connection, dialect: Dialect) -> tuple[TableStats, ...]:
    sizes = dialect.table_sizes(connection, [table.name for table in TABLES.values()])
    periods = _periods(connection, dialect)
    found = []
    for row_type, table in TABLES.items():
        estimate, size = sizes.get(table.name, (None, None))
        rows, is_exact = _count(connection, row_type, estimate, limited=not dialect.counts_all_rows)
        oldest, newest = periods.get(row_type, (None, None))
        found.append(
            TableStats(table=table.name, rows=rows, is_exact=is_exact, bytes=size, oldest=oldest, newest=newest)
        )
    return tuple(found)


def _count(connection: Connection, row_type: type[Row], estimate: int | None, *, limited: bool) -> tuple[int, bool]:
    """Return the number of rows, and whether it is exact."""
    parameters = {"limit": COUNTED_ROWS + 1} if limited else {}
    rows = connection.execute(_count_rows(row_type, limited=limited), parameters).scalar_one()
    if limited and rows > COUNTED_ROWS:
        return max(estimate or 0, rows), False
    return rows, True


def _periods(connection: Connection, dialect: Dialect) -> dict[type[Row], Period]:
    """Return the timestamps of the first and the last row of each table whose rows have ids, if it has rows.

    The primary keys begin with the tenant, so that this takes one statement for each tenant.
    """
    periods: dict[type[Row], Period] = {}
    tenants = list_tenants(dialect, ListTenants(operation="stats", tenant="")).run(connection)
    if len(tenants) > MAX_TENANTS:
        return {}
    for tenant in tenants:
        ends = connection.execute(_ends(), {"tenant_id": tenant}).one()
        for row_type, first, last in zip(_with_ids(), ends[::2], ends[1::2], strict=True):
            if first is not None:
                known = periods.get(row_type, ())
                times = [*known, timestamp_of(first), timestamp_of(last)]
                periods[row_type] = min(times), max(times)
    return periods


@cached
def _with_ids() -> list[type[Row]]:
    return [row_type for row_type, table in TABLES.items() if not row_type.KEY or CREATED_ID in table.c]


@cached
def _count_rows(row_type: type[Row], *, limited: bool) -> Executable:
    table = TABLES[row_type]
    if not limited:
        return select(func.count()).select_from(table)
    return select(func.count()).select_from(
        select(literal(1).label("one")).select_from(table).limit(bindparam("limit")).subquery()
    )


@cached
def _ends() -> Executable:
    """Select the first and the last id of a tenant in each table whose rows have ids."""
    ends: list[Any] = []
    for row_type in _with_ids():
        table = TABLES[row_type]
        row_id = table.c[CREATED_ID if row_type.KEY else "id"]
        ids = select(row_id).where(table.c["tenant_id"] == bindparam("tenant_id")).limit(1)
        ends += [ids.order_by(row_id).scalar_subquery(), ids.order_by(row_id.desc()).scalar_subquery()]
    return select(*ends)
