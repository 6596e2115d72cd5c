"""Query plans with 50,000 rows in a table: no limited list sorts, and no statement reads more rows than it needs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import AuditRow, CacheRow, CostRow, EventRow, Row, SessionRow, SqlRepository, TraceRow
from axon_storage.dialects import dialect_of
from axon_storage.engine.create import create_engine
from axon_storage.schema import upgrade
from axon_storage.sql.prune_statements import delete_old, key_of, list_old, order_of
from axon_storage.sql.statements import delete, evict_expired, get, list_newest, list_page, next_scope, next_tenant
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
        found = await _cost(filled, statement, limit=PAGE, **where, **after, **bound)
        assert not found.sorts, found.plan
        assert found.touched <= PAGE + SPARE, found.plan


@pytest.mark.parametrize(
    ("row_type", "by_age"), [(TraceRow, True), (EventRow, True), (SessionRow, True), (SessionRow, False)]
)
async def test_a_delete_of_a_prune_or_erase_run_reads_only_its_own_rows(
    filled: AsyncEngine, row_type: type[Row], *, by_age: bool
) -> None:
    columns = TABLES[row_type].c
    *prefix, last = [columns[name] for name in key_of(TABLES[row_type])]
    of_scope = [columns["tenant_id"] == "default", *(column == "scope 2" for column in prefix)]
    async with filled.connect() as connection:
        lasts = (await connection.execute(select(last).where(*of_scope).limit(PAGE))).scalars().all()
    statement = delete_old(dialect_of(filled.dialect), row_type, by_age=by_age)
    before = datetime.now(UTC) if row_type is SessionRow else UUID(int=2**128 - 1)
    bound = {"before": before} if by_age else {}
    found = await _cost(filled, statement, last=list(lasts), **{column.name: "scope 2" for column in prefix}, **bound)
    assert found.touched <= PAGE * 6 + SPARE, found.plan
