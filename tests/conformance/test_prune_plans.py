"""Query plans of prune and erase runs: no statement sorts, or reads more rows than it needs."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import AuditRow, CacheRow, CostRow, EventRow, Row, SessionRow, TraceRow
from axon_storage.dialects import dialect_of
from axon_storage.sql.prune_statements import delete_old, key_of, list_old, order_of
from axon_storage.sql.statements import key_executions
from axon_storage.sql.tables import TABLES
from tests.conformance.filled import PAGE, SPARE, cost_of, filled_database
from tests.databases import Databases

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.needs_role("owner", reason="it fills tables of its own and analyzes them"),
]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "mysql"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def filled(databases: Databases, target: str) -> AsyncEngine:
    return await filled_database(databases, target)


@pytest.mark.parametrize(
    ("row_type", "where", "by_age"),
    [
        (TraceRow, {}, True),
        (TraceRow, {"flow_name": "name"}, True),
        (EventRow, {}, True),
        (EventRow, {"topic": "frequent"}, True),
        (AuditRow, {}, True),
        (CostRow, {"flow_name": "frequent"}, True),
        (SessionRow, {}, True),
        (SessionRow, {"scope": "scope 2"}, True),
        (CacheRow, {}, True),
        (TraceRow, {}, False),
        (EventRow, {}, False),
        (SessionRow, {}, False),
    ],
)
async def test_a_page_of_a_prune_or_erase_run_reads_only_its_own_rows(
    filled: AsyncEngine, row_type: type[Row], where: dict[str, str], *, by_age: bool
) -> None:
    dialect, columns = dialect_of(filled.dialect), TABLES[row_type].c
    names = order_of(row_type, tuple(where), by_age=by_age)
    order = [columns[name] for name in names]
    conditions = [columns["tenant_id"] == "default", *(columns[name] == value for name, value in where.items())]
    somewhere = select(*order).where(*conditions).order_by(*order).offset(5_000).limit(1)
    async with filled.connect() as connection:
        position = (await connection.execute(somewhere)).one()
    after = {f"after_{name}": value for name, value in zip(names, position, strict=True)}
    bound = {"before": UUID(int=2**128 - 1)} if by_age else {}
    for depth in (None, *range(len(names))):
        statement = list_old(dialect, row_type, tuple(where), by_age=by_age, depth=depth)
        # a second column, because SQLAlchemy would decode the plan, a single column, as the key
        statement = statement.add_columns(columns["tenant_id"])
        found = await cost_of(filled, statement, limit=PAGE, **where, **after, **bound)
        assert not found.sorts, found.plan
        assert found.touched <= PAGE + SPARE, found.plan


@pytest.mark.parametrize(
    ("row_type", "by_age"), [(TraceRow, True), (EventRow, True), (SessionRow, True), (SessionRow, False)]
)
async def test_a_delete_of_a_prune_or_erase_run_reads_only_its_own_rows(
    filled: AsyncEngine, row_type: type[Row], *, by_age: bool
) -> None:
    table, names = TABLES[row_type], key_of(TABLES[row_type])
    columns = [table.c[name] for name in names]
    async with filled.connect() as connection:
        # from several scopes
        some = select(*columns).where(table.c.tenant_id == "default").order_by(columns[-1]).offset(900).limit(PAGE)
        keys = sorted(map(tuple, (await connection.execute(some)).all()))
    statement = delete_old(dialect_of(filled.dialect), row_type, by_age=by_age)
    before = datetime.now(UTC) if row_type is SessionRow else UUID(int=2**128 - 1)
    [batch] = key_executions(dialect_of(filled.dialect), names, keys, {"before": before} if by_age else {})
    costs = [await cost_of(filled, statement, **parameters) for parameters in batch]
    assert sum(found.touched for found in costs) <= PAGE * 6 + SPARE, costs[0].plan
