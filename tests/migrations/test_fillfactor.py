"""On PostgreSQL, tables whose rows are updated have free space in each page, so most updates change no index."""

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SessionRow, SqlRepository, TraceRow, create_engine, schema
from axon_storage.schema import MigrationTimeouts
from axon_storage.testing.samples import sample
from tests.databases import Databases

UPDATED = ["axon_stores", "daemons", "dataspaces", "hibernations", "schedules", "sessions", "traces"]
ROWS, ROUNDS = 1000, 5


@pytest.fixture
async def url(databases: Databases) -> str:
    return await databases.empty("postgresql")


async def _scalars(engine: AsyncEngine, query: str) -> list[str]:
    async with engine.connect() as connection:
        return list((await connection.execute(text(query))).scalars())


async def test_most_updates_are_heap_only(url: str) -> None:
    await schema.upgrade(url)
    storage = SqlRepository(create_engine(url))
    for number in range(ROUNDS + 1):
        await storage.save_many(sample(TraceRow, trace_id=key, latency_ms=number) for key in range(ROWS))
        await storage.save_many(sample(SessionRow, key=str(key), value=str(number)) for key in range(ROWS))
    await storage.close()  # a session reports its statistics when it ends
    engine = create_engine(url)
    query = "SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname IN ('traces', 'sessions')"
    counts: dict[str, tuple[int, int]] = {}
    while not counts or any(updates < ROWS * ROUNDS for updates, _ in counts.values()):
        async with engine.connect() as connection:
            counts = {name: (updates, hot) for name, updates, hot in await connection.execute(text(query))}
    await engine.dispose()
    for name, (updates, hot) in counts.items():
        assert hot > updates / 2, f"{name}: {hot} of {updates}"


async def test_the_comparison_names_a_missing_or_different_fillfactor(url: str) -> None:
    await schema.upgrade(url)
    assert await schema.differences(url) == []
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE traces RESET (fillfactor)"))
        await connection.execute(text("ALTER TABLE sessions SET (fillfactor = 100)"))
        await connection.execute(text("ALTER TABLE audit_log SET (fillfactor = 50, autovacuum_enabled = true)"))
    await engine.dispose()
    assert await schema.differences(url) == [
        "audit_log, fillfactor: 50, not there",
        "sessions, fillfactor: 100, not 80",
        "traces, fillfactor: missing, not 80",
    ]


async def test_a_server_of_the_previous_revision_works_while_the_fillfactor_is_set(url: str) -> None:
    await schema.upgrade(url, "0002")
    engine = create_engine(url)
    storage = SqlRepository(engine)
    await storage.save_trace(sample(TraceRow, trace_id=1))
    files = (
        "SELECT relname || pg_relation_filenode(oid) FROM pg_class "
        "WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE '%axon_storage_%'"
    )
    before = await _scalars(engine, f"{files} ORDER BY 1")
    async with storage.transaction() as transaction:  # an open writer does not block the upgrade
        await transaction.save_trace(sample(TraceRow, trace_id=2))
        await schema.upgrade(url, timeouts=MigrationTimeouts(lock=0.1))
        await transaction.save_trace(sample(TraceRow, trace_id=3))
    await storage.save_trace(sample(TraceRow, trace_id=1, status="after"))
    assert [row.trace_id for row in await storage.load_traces(9)] == [3, 2, 1]
    assert await _scalars(engine, f"{files} ORDER BY 1") == before  # no table was rewritten
    await storage.close()


async def test_only_the_tables_that_are_updated_have_a_fillfactor(url: str) -> None:
    query = "SELECT relname FROM pg_class WHERE 'fillfactor=80' = ANY(reloptions) ORDER BY relname"
    await schema.upgrade(url)
    engine = create_engine(url)
    assert await _scalars(engine, query) == UPDATED
    await schema.downgrade(url, "0002")
    assert await _scalars(engine, query) == []
    await engine.dispose()
