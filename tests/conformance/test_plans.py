"""Query plans of traces and append-only rows: no limited list sorts, and no statement reads more rows than it needs."""

from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    CostRow,
    CostSummary,
    EventRow,
    Row,
    TraceRow,
    TraceSummary,
)
from axon_storage.dialects import dialect_of
from axon_storage.model.summaries import Summary
from axon_storage.sql.statements import (
    list_by_ids,
    list_ids,
    list_newest,
    list_page,
)
from axon_storage.sql.summaries import summarize_statement
from axon_storage.sql.tables import CREATED_ID, TABLES
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


@pytest.mark.parametrize("row_type", [TraceRow, AuditRow, EventRow, CostRow])
async def test_a_list_of_the_newest_reads_no_other_rows(filled: AsyncEngine, row_type: type[Row]) -> None:
    found = await cost_of(filled, list_newest(dialect_of(filled.dialect), row_type, (), has_offset=False), limit=PAGE)
    assert not found.sorts, found.plan
    assert found.touched <= PAGE + SPARE, found.plan


async def test_a_page_with_an_offset_reads_only_the_skipped_rows_and_its_own(filled: AsyncEngine) -> None:
    found = await cost_of(
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
    found = await cost_of(
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
        found = await cost_of(filled, statement, limit=PAGE, flow_name=flow)
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
    found = await cost_of(filled, statement, after=after, before=UUID(int=2**128 - 1), limit=PAGE, **where)
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
    found = await cost_of(filled, statement, after=UUID(int=0), before=before, limit=PAGE, **where)
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
    found = await cost_of(filled, statement, after=after, before=before, **where)
    assert not found.sorts, found.plan
    assert found.touched <= PAGE + SPARE, found.plan
    found = await cost_of(filled, list_by_ids(dialect, EventRow), ids=found_ids)
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
    found = await cost_of(filled, statement, after=after, before=before, **where)
    # the database reads the rows of its groups too, and SQLite runs more instructions for a sum than for a column
    assert found.touched <= 5 * PAGE + SPARE, found.plan
