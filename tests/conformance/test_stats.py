"""stats(): the size of the database with all its tenants, and the state of the pool and of group commit."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    EventRow,
    InMemoryBackend,
    PoolStats,
    QueueStats,
    SessionRow,
    SqlRepository,
    StorageDispatcher,
    StorageStats,
    TableStats,
    TraceRow,
    schema,
)
from axon_storage.dialects import dialect_of
from axon_storage.model.ids import IdSource
from axon_storage.model.rows import ROW_TYPES
from axon_storage.sql.stats import COUNTED_ROWS
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import KEYED

NO_QUEUE = QueueStats(waiting_rows=0, waiting_bytes=0, batches_in_flight=0, writes_in_flight=0)


def _table(stats: StorageStats, name: str) -> TableStats:
    return next(table for table in stats.tables if table.table == name)


async def test_every_table_is_counted_with_all_tenants(repository: SqlRepository, engine: AsyncEngine) -> None:
    for tenant in ("a", "b"):
        await repository.for_tenant(tenant).save_many(sample(row_type, tenant) for row_type in ROW_TYPES)
    stats = await repository.for_tenant("a").stats()
    assert [table.table for table in stats.tables] == [row_type.TABLE for row_type in ROW_TYPES]
    assert [(table.rows, table.is_exact) for table in stats.tables] == [(2, True)] * len(ROW_TYPES)
    assert stats.database == dialect_of(engine.dialect).title
    assert stats.revision == schema.head()
    assert stats.server_version[0].isdigit()


@pytest.mark.not_on("oracle", "user_segments, which has the sizes, is not in the double")
async def test_tables_have_a_size_in_bytes(repository: SqlRepository) -> None:
    await repository.save_many(sample(SessionRow, key=f"{key}", value="x" * 1000) for key in range(1000))
    found = _table(await repository.stats(), "sessions").bytes
    assert found is not None
    assert found > 0


async def test_the_first_and_last_timestamps_are_those_of_all_tenants(repository: SqlRepository) -> None:
    day = datetime(2024, 2, 29, 12, tzinfo=UTC)
    for number, tenant in enumerate(["b", "a", "c"]):
        nanoseconds = int((day + timedelta(days=number)).timestamp()) * 10**9
        event_id = IdSource(lambda fixed=nanoseconds: fixed)()  # type: ignore[misc]  # mypy infers no lambda with a default
        await repository.for_tenant(tenant).append_event(sample(EventRow, tenant), id=event_id)
    stats = await repository.stats()
    events = _table(stats, "event_history")
    assert (events.oldest, events.newest) == (day, day + timedelta(days=2))
    await repository.save_trace(sample(TraceRow))
    before = datetime.now(UTC) - timedelta(hours=1)
    stats = await repository.stats()
    oldest = _table(stats, "traces").oldest
    assert oldest is not None
    assert oldest > before
    without_ids = [row_type.TABLE for row_type in KEYED if row_type is not TraceRow]
    assert [(_table(stats, name).oldest, _table(stats, name).newest) for name in without_ids] == [(None, None)] * 7


async def test_a_large_table_is_not_counted_on_a_server(repository: SqlRepository, engine: AsyncEngine) -> None:
    rows = COUNTED_ROWS + 200
    await repository.save_many(sample(SessionRow, key=f"{key}") for key in range(rows))
    sessions = _table(await repository.stats(), "sessions")
    if dialect_of(engine.dialect).counts_all_rows:
        assert (sessions.rows, sessions.is_exact) == (rows, True)
    else:
        assert not sessions.is_exact
        assert sessions.rows > COUNTED_ROWS


async def test_the_state_of_the_pool_and_the_queue(repository: SqlRepository, engine: AsyncEngine) -> None:
    stats = await repository.stats()
    assert (stats.pool, stats.queue) == (PoolStats(size=8, in_use=0, overflow=0), NO_QUEUE)
    async with repository.transaction():
        stats = await repository.stats()
        assert stats.pool is not None
        assert stats.pool.in_use == 1
    del engine


async def test_waiting_writes_are_counted(repository: SqlRepository) -> None:
    async with repository.transaction() as transaction:
        await transaction.save_session(sample(SessionRow))
        writes = [asyncio.create_task(repository.save_session(sample(SessionRow, value="x"))) for _ in range(40)]
        await asyncio.sleep(0.2)
        queue = (await repository.stats()).queue
        assert queue is not None
        assert queue.waiting_rows + queue.writes_in_flight >= 30
        assert queue.waiting_bytes > 0
    await asyncio.gather(*writes)
    while repository.group_commit.in_flight:
        await asyncio.wait(repository.group_commit.in_flight)  # a batch's task ends after its callers
    assert (await repository.stats()).queue == NO_QUEUE


async def test_a_transaction_counts_what_it_has_written(repository: SqlRepository) -> None:
    async with repository.transaction() as transaction:
        await transaction.save_session(sample(SessionRow))
        stats = await transaction.stats()
    assert _table(stats, "sessions").rows == 1
    assert (stats.pool, stats.queue) == (None, None)


async def test_a_dispatcher_returns_the_stats_of_its_backend(repository: SqlRepository) -> None:
    assert (await StorageDispatcher(repository).stats()).pool is not None
    empty = await StorageDispatcher(InMemoryBackend()).stats()
    assert (empty.database, empty.revision, empty.pool) == ("no database", None, None)
    assert {table.rows for table in empty.tables} == {0}
