"""Query plans of keyed rows and whole rows: no statement sorts, or reads more rows than it needs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    CacheRow,
    CostRow,
    EventRow,
    Row,
    SessionRow,
    SqlRepository,
    TraceRow,
)
from axon_storage.dialects import dialect_of
from axon_storage.sql.distinct import distinct_values
from axon_storage.sql.statements import (
    delete,
    delete_range,
    evict_expired,
    get,
    list_by_key,
    list_by_keys,
)
from axon_storage.sql.tables import TABLES
from axon_storage.sql.transfer import key_columns, select_rows, select_sizes
from axon_storage.testing.samples import sample
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


async def test_an_eviction_reads_only_expired_entries(filled: AsyncEngine) -> None:
    statement = evict_expired(dialect_of(filled.dialect), CacheRow)
    found = await cost_of(filled, statement, now=datetime.now(UTC))
    assert found.touched <= 20 * 6 + SPARE, (
        found.plan
    )  # each row is found, locked and deleted, in the index and the table


async def test_an_eviction_of_nothing_reads_no_rows(filled: AsyncEngine) -> None:
    statement = evict_expired(dialect_of(filled.dialect), CacheRow)
    found = await cost_of(filled, statement, now=datetime.now(UTC) - timedelta(days=30_000))
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
    found = await cost_of(filled, get(row_type), **key, **now)
    assert found.touched <= 1 + SPARE, found.plan


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_range_of_entries_reads_only_its_own_rows(filled: AsyncEngine, *, reverse: bool) -> None:
    statement = list_by_key(SessionRow, ("scope",), ("at_least", "below"), limited=True, reverse=reverse)
    for limit, rows in ((PAGE, PAGE), (10**6, 223)):  # 12, 122, 127, …, 12997
        found = await cost_of(filled, statement, scope="scope 2", at_least="12", below="13", limit=limit)
        assert not found.sorts, found.plan
        assert found.touched <= rows + SPARE, found.plan


async def test_entries_with_given_keys_are_read_without_other_rows(filled: AsyncEngine) -> None:
    statement = list_by_keys(dialect_of(filled.dialect), SessionRow)
    keys = [f"{number}" for number in range(0, 10_000, 100)]
    found = await cost_of(filled, statement, scope="scope 2", last=keys)
    assert found.touched <= 2 * len(keys) + SPARE, found.plan  # a scan reads each row once in the index


@pytest.mark.parametrize("prefix", [(), ("scope",)])
async def test_a_page_of_a_scan_reads_only_its_own_rows(filled: AsyncEngine, prefix: tuple[str, ...]) -> None:
    statement = list_by_key(SessionRow, prefix, ("above",), limited=True)
    found = await cost_of(filled, statement, scope="scope 2", above="30" if prefix else "scope 2", limit=PAGE)
    assert not found.sorts, found.plan
    assert found.touched <= PAGE + SPARE, found.plan


@pytest.mark.parametrize("count", [1, 100])
async def test_a_delete_reads_only_its_own_rows(filled: AsyncEngine, count: int) -> None:
    statement = delete(dialect_of(filled.dialect), TraceRow)
    found = await cost_of(filled, statement, last=list(range(count)))
    assert found.touched <= count * 6 + SPARE, (
        found.plan
    )  # each row is found, locked and deleted, in the index and the table


async def test_a_delete_of_consecutive_ids_reads_only_its_own_rows(filled: AsyncEngine) -> None:
    statement = delete_range(dialect_of(filled.dialect), TraceRow, (), ("at_least", "at_most"))
    found = await cost_of(filled, statement, at_least=0, at_most=1199)
    assert found.touched <= 1200 * 6 + SPARE, found.plan


async def test_a_delete_of_a_range_reads_only_its_own_rows(filled: AsyncEngine) -> None:
    statement = delete_range(dialect_of(filled.dialect), SessionRow, ("scope",), ("at_least", "below"))
    found = await cost_of(filled, statement, scope="scope 2", at_least="12", below="13")
    assert found.touched <= 223 * 6 + SPARE, found.plan


async def test_a_delete_of_a_range_reads_only_its_own_rows_without_statistics(engine: AsyncEngine) -> None:
    await SqlRepository(engine).save_many(sample(SessionRow, scope="scope", key=f"{number}") for number in range(400))
    statement = delete_range(dialect_of(engine.dialect), SessionRow, ("scope",), ())
    found = await cost_of(engine, statement, scope="scope")
    assert found.touched <= 400 * 6 + SPARE, found.plan


@pytest.mark.parametrize(("bounds", "scopes"), [((), 5), (("above",), 3), (("at_least", "below"), 2)])
async def test_scopes_are_found_by_seeks(filled: AsyncEngine, bounds: tuple[str, ...], scopes: int) -> None:
    dialect = dialect_of(filled.dialect)
    statement = distinct_values(dialect, (TABLES[SessionRow],), "scope", bounds)
    found = await cost_of(filled, statement, above="scope 1", at_least="scope 1", below="scope 3", limit=PAGE)
    assert not found.sorts, found.plan
    assert found.touched <= (scopes * 4 if dialect.distinct_is_exact else 2 * PAGE + scopes) + SPARE, found.plan


@pytest.mark.parametrize("bounds", [(), ("above",)])
async def test_tenants_are_found_by_seeks(filled: AsyncEngine, bounds: tuple[str, ...]) -> None:
    dialect = dialect_of(filled.dialect)
    statement = distinct_values(dialect, tuple(TABLES.values()), "tenant_id", bounds)
    found = await cost_of(filled, statement, above="default", limit=PAGE if dialect.distinct_is_exact else 1)
    assert found.touched <= len(TABLES) * 8 + SPARE, found.plan


@pytest.mark.parametrize(
    ("row_type", "equal"),
    [(TraceRow, 0), (EventRow, 0), (CostRow, 0), (SessionRow, 0), (SessionRow, 1), (CacheRow, 1), (TraceRow, -1)],
)
async def test_a_page_of_whole_rows_is_read_by_the_primary_key(
    filled: AsyncEngine, row_type: type[Row], equal: int
) -> None:
    table, names = TABLES[row_type], key_columns(row_type)
    middle = select(table).where(table.c.tenant_id == "default").order_by(*[table.c[name] for name in names])
    async with filled.connect() as connection:
        found = (await connection.execute(middle.limit(1).offset(20_000))).mappings().one()
    after = {name: found[name] for name in names[: equal + 1]}
    if row_type is SessionRow and equal == 0:
        after["scope"] = "scope 1"
    statements = [select_rows(row_type, equal)]
    if row_type is not CostRow:
        statements.append(select_sizes(dialect_of(filled.dialect), row_type, equal))
    for statement in statements:
        read = await cost_of(filled, statement, limit=PAGE, **after)
        assert not read.sorts, read.plan
        assert read.touched <= PAGE + SPARE, read.plan
