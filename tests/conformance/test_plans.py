"""Query plans with 50,000 rows in a table: no limited list sorts, and no statement reads more rows than it needs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    CacheRow,
    CostRow,
    CostSummary,
    EventRow,
    Row,
    SessionRow,
    SqlRepository,
    TraceRow,
    TraceSummary,
)
from axon_storage.dialects import dialect_of
from axon_storage.engine.create import create_engine
from axon_storage.model.summaries import Summary
from axon_storage.schema import upgrade
from axon_storage.sql.statements import (
    delete,
    evict_expired,
    get,
    list_by_ids,
    list_ids,
    list_newest,
    list_page,
    next_scope,
    next_tenant,
)
from axon_storage.sql.summaries import summarize_statement
from axon_storage.sql.tables import CREATED_ID, TABLES
from tests.databases import Databases
from tests.plans import Cost, cost
from tests.samples import sample

ROWS = 50_000
PAGE = 100
SPARE = 25  # a database may read a few index entries beyond the rows of the result

pytestmark = pytest.mark.timeout(900)

ANALYZE = {"postgresql": "ANALYZE {}", "mysql": "ANALYZE TABLE {}", "sqlite": "ANALYZE {}"}

_filled: dict[str, AsyncEngine] = {}


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "mysql"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def filled(databases: Databases, target: str) -> AsyncEngine:
    """A database with 50,000 rows in each large table, a tenth of them of another tenant; made once."""
    if target not in _filled:
        url = await databases.empty(target, for_run=True)
        await upgrade(url)
        _filled[target] = engine = databases.keep(create_engine(url))
        for tenant, share in (("default", 9), ("other", 1)):
            await SqlRepository(engine).for_tenant(tenant).save_many(_rows(tenant, ROWS // 10 * share))
        async with engine.begin() as connection:
            for table in TABLES.values():
                await connection.execute(text(ANALYZE[engine.dialect.name].format(table.name)))
    return _filled[target]


def _rows(tenant: str, count: int) -> Iterator[Row]:
    for number in range(count):
        # the rare and the early topic and flow are among the oldest rows, which a scan from the newest reaches last
        rare = number % 50 == 0 and number < 1000
        kind = "rare" if rare else ("frequent" if number % 2 else f"kind {number % 40}")
        if number < count // 3:
            kind = "rare" if rare else "early"
        yield sample(TraceRow, tenant, trace_id=number, events=[], annotations=None)
        yield sample(AuditRow, tenant, detail=None)
        yield sample(EventRow, tenant, topic=kind, payload=None)
        yield sample(CostRow, tenant, flow_name=kind)
        yield sample(CacheRow, tenant, cache_key=str(number), result=None, ttl_secs=0 if rare else 86_400)
        yield sample(SessionRow, tenant, scope=f"scope {number % 5}", key=str(number), value="")


async def _cost(engine: AsyncEngine, statement: Any, **parameters: Any) -> Cost:
    async with engine.connect() as connection:
        found = await cost(connection, statement, {"tenant_id": "default", **parameters})
        await connection.rollback()
    return found


@pytest.mark.parametrize("row_type", [TraceRow, AuditRow, EventRow, CostRow])
async def test_a_list_of_the_newest_reads_no_other_rows(filled: AsyncEngine, row_type: type[Row]) -> None:
    found = await _cost(filled, list_newest(dialect_of(filled.dialect), row_type, (), has_offset=False), limit=PAGE)
    assert not found.sorts, found.plan
    assert found.touched <= PAGE + SPARE, found.plan


async def test_a_page_with_an_offset_reads_only_the_skipped_rows_and_its_own(filled: AsyncEngine) -> None:
    found = await _cost(
        filled, list_newest(dialect_of(filled.dialect), TraceRow, (), has_offset=True), limit=PAGE, offset=1000
    )
    assert not found.sorts, found.plan
    # SQLite runs more instructions for a skipped row than the estimate assumes
    assert found.touched <= 1.5 * (1000 + PAGE), found.plan


@pytest.mark.parametrize(
    ("kind", "found_rows"), [("rare", 20), ("frequent", PAGE), ("early", PAGE), ("kind 8", PAGE), ("unknown", 0)]
)
@pytest.mark.parametrize(("row_type", "field"), [(EventRow, "topic"), (CostRow, "flow_name")])
async def test_a_filter_reads_only_its_own_rows(
    filled: AsyncEngine, row_type: type[Row], field: str, kind: str, found_rows: int
) -> None:
    found = await _cost(
        filled,
        list_newest(dialect_of(filled.dialect), row_type, (field,), has_offset=False),
        limit=PAGE,
        **{field: kind},
    )
    assert not found.sorts, found.plan
    assert found.touched <= found_rows + SPARE, found.plan


async def test_the_newest_traces_of_a_flow_are_read_by_an_index(filled: AsyncEngine) -> None:
    statement = list_newest(dialect_of(filled.dialect), TraceRow, ("flow_name",), has_offset=False)
    for flow, rows in {"name": PAGE, "unknown": 0}.items():
        found = await _cost(filled, statement, limit=PAGE, flow_name=flow)
        assert not found.sorts, found.plan
        assert found.touched <= rows + SPARE, found.plan


@pytest.mark.parametrize(
    ("row_type", "where"),
    [
        (TraceRow, {}),
        (AuditRow, {}),
        (EventRow, {}),
        (CostRow, {}),
        (TraceRow, {"flow_name": "name"}),
        (EventRow, {"topic": "frequent"}),
        (CostRow, {"flow_name": "frequent"}),
    ],
)
async def test_a_later_page_of_an_iterator_reads_only_its_own_rows(
    filled: AsyncEngine, row_type: type[Row], where: dict[str, str]
) -> None:
    columns = TABLES[row_type].c
    order = columns[CREATED_ID if row_type is TraceRow else "id"]
    ids = select(order).where(columns["tenant_id"] == "default").order_by(order).offset(20_000).limit(1)
    async with filled.connect() as connection:
        after = (await connection.execute(ids)).scalar_one()
    statement = list_page(dialect_of(filled.dialect), row_type, tuple(where))
    found = await _cost(filled, statement, after=after, before=UUID(int=2**128 - 1), limit=PAGE, **where)
    assert not found.sorts, found.plan
    assert found.touched <= PAGE + SPARE, found.plan


@pytest.mark.parametrize(
    ("row_type", "where"),
    [
        (TraceRow, {}),
        (AuditRow, {}),
        (EventRow, {}),
        (CostRow, {}),
        (TraceRow, {"flow_name": "name"}),
        (EventRow, {"topic": "early"}),
        (CostRow, {"flow_name": "early"}),
    ],
)
async def test_a_later_page_of_a_reverse_iterator_reads_only_its_own_rows(
    filled: AsyncEngine, row_type: type[Row], where: dict[str, str]
) -> None:
    columns = TABLES[row_type].c
    order = columns[CREATED_ID if row_type is TraceRow else "id"]
    ids = select(order).where(columns["tenant_id"] == "default").order_by(order).offset(1_000).limit(1)
    async with filled.connect() as connection:
        before = (await connection.execute(ids)).scalar_one()
    statement = list_page(dialect_of(filled.dialect), row_type, tuple(where), reverse=True)
    found = await _cost(filled, statement, after=UUID(int=0), before=before, limit=PAGE, **where)
    assert not found.sorts, found.plan
    assert found.touched <= PAGE + SPARE, found.plan


@pytest.mark.parametrize("where", [{}, {"topic": "frequent"}])
async def test_a_step_of_a_follower_reads_only_its_own_rows(filled: AsyncEngine, where: dict[str, str]) -> None:
    columns, dialect = TABLES[EventRow].c, dialect_of(filled.dialect)
    of_topic = [columns[name] == value for name, value in where.items()]
    ids = select(columns["id"]).where(columns["tenant_id"] == "default", *of_topic).order_by(columns["id"])
    async with filled.connect() as connection:
        found_ids = (await connection.execute(ids.offset(2_000).limit(PAGE))).scalars().all()
    *_, before = after, *_ = found_ids
    # two columns, because SQLAlchemy would decode the one column of EXPLAIN as an id
    statement = list_ids(dialect, EventRow, tuple(where)).add_columns(columns["tenant_id"])
    found = await _cost(filled, statement, after=after, before=before, **where)
    assert not found.sorts, found.plan
    assert found.touched <= PAGE + SPARE, found.plan
    found = await _cost(filled, list_by_ids(dialect, EventRow), ids=found_ids)
    assert found.touched <= 3 * PAGE + SPARE, found.plan  # SQLite runs instructions for each element of the list


@pytest.mark.parametrize(("summary_type", "row_type"), [(CostSummary, CostRow), (TraceSummary, TraceRow)])
@pytest.mark.parametrize("where", [{}, {"flow_name": "name"}])
async def test_a_summary_of_a_period_reads_only_the_rows_of_the_period(
    filled: AsyncEngine, summary_type: type[Summary], row_type: type[Row], where: dict[str, str]
) -> None:
    columns = TABLES[row_type].c
    order = columns[CREATED_ID if row_type is TraceRow else "id"]
    ids = select(order).where(columns["tenant_id"] == "default").order_by(order).offset(20_000).limit(PAGE)
    async with filled.connect() as connection:
        *_, before = after, *_ = (await connection.execute(ids)).scalars().all()
    statement, _ = summarize_statement(dialect_of(filled.dialect), summary_type, ("backend",), tuple(where))
    found = await _cost(filled, statement, after=after, before=before, **where)
    # the database reads the rows of its groups too, and SQLite runs more instructions for a sum than for a column
    assert found.touched <= 5 * PAGE + SPARE, found.plan


async def test_an_eviction_reads_only_expired_entries(filled: AsyncEngine) -> None:
    statement = evict_expired(dialect_of(filled.dialect), CacheRow)
    found = await _cost(filled, statement, now=datetime.now(UTC))
    assert found.touched <= 20 * 6 + SPARE, (
        found.plan
    )  # each row is found, locked and deleted, in the index and the table


async def test_an_eviction_of_nothing_reads_no_rows(filled: AsyncEngine) -> None:
    statement = evict_expired(dialect_of(filled.dialect), CacheRow)
    found = await _cost(filled, statement, now=datetime.now(UTC) - timedelta(days=30_000))
    assert found.touched <= SPARE, found.plan


@pytest.mark.parametrize(
    ("row_type", "key"),
    [
        (TraceRow, {"trace_id": 777}),
        (SessionRow, {"scope": "scope 2", "key": "777"}),
        (CacheRow, {"flow_name": "name", "cache_key": "777"}),
    ],
)
async def test_one_row_is_found_by_its_key(filled: AsyncEngine, row_type: type[Row], key: dict[str, Any]) -> None:
    now = {"now": datetime.now(UTC)} if row_type is CacheRow else {}
    found = await _cost(filled, get(row_type), **key, **now)
    assert found.touched <= 1 + SPARE, found.plan


@pytest.mark.parametrize("count", [1, 100])
async def test_a_delete_reads_only_its_own_rows(filled: AsyncEngine, count: int) -> None:
    statement = delete(dialect_of(filled.dialect), TraceRow)
    found = await _cost(filled, statement, last=list(range(count)))
    assert found.touched <= count * 6 + SPARE, (
        found.plan
    )  # each row is found, locked and deleted, in the index and the table


async def test_scopes_and_tenants_are_found_by_seeks(filled: AsyncEngine) -> None:
    for statement in (next_scope(SessionRow, first=True), next_scope(SessionRow, first=False)):
        found = await _cost(filled, statement, last="scope 1")
        assert found.touched <= 1 + SPARE, found.plan
    for seek in (next_tenant(first=True), next_tenant(first=False)):
        found = await _cost(filled, seek, last="default")
        assert found.touched <= len(TABLES) * 3 + SPARE, found.plan
