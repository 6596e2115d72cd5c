"""The order of lists: newest first, by the first save; pages; ids of appends."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import EventRow, SqlRepository, StorageBackend, TraceRow
from axon_storage.model.ids import timestamp_of
from axon_storage.sql.tables import event_history
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.order import *  # noqa: F403


@pytest.mark.parametrize("step", [0, -1_000_000_000, 400], ids=["stopped", "steps back", "slow"])
async def test_the_order_is_that_of_the_calls_whatever_the_clock_does(engine: AsyncEngine, step: int) -> None:
    now = 1_700_000_000_000_000_000

    def clock() -> int:
        nonlocal now
        now += step
        return now

    storage = SqlRepository(engine, clock=clock)
    numbers = [7, 3, 9, 1, 8, 2]
    for number in numbers:
        await storage.save_trace(sample(TraceRow, trace_id=number))
        await storage.append_event(sample(EventRow, source=str(number)))
    assert [trace.trace_id for trace in await storage.load_traces(9)] == numbers[::-1]
    assert [int(event.source) for event in await storage.query_events(None, 9)] == numbers[::-1]


async def test_with_different_clocks_the_order_of_two_storages_rows_is_that_of_the_clocks(engine: AsyncEngine) -> None:
    now = 1_700_000_000_000_000_000
    ahead, behind = SqlRepository(engine, clock=lambda: now + 10**9), SqlRepository(engine, clock=lambda: now)
    for number, storage in enumerate((ahead, behind)):  # stands for two machines with different clocks
        await storage.save_trace(sample(TraceRow, trace_id=number))
        await storage.append_event(sample(EventRow, source=str(number)))
    assert [trace.trace_id for trace in await behind.load_traces(9)] == [0, 1]
    assert [event.source for event in await ahead.query_events(None, 9)] == ["0", "1"]


async def test_the_timestamp_of_an_append_is_that_of_its_id(
    storage: StorageBackend, tenant: str, engine: AsyncEngine
) -> None:
    row_id = await storage.append_event(sample(EventRow, tenant))
    late = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    micros = (late - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    last_id = UUID(int=micros // 1000 << 80 | 7 << 76 | micros % 1000 << 66 | 2 << 62)
    await storage.append_event(sample(EventRow, tenant), last_id)
    statement = select(event_history.c.id, event_history.c.timestamp_utc).where(event_history.c.tenant_id == tenant)
    async with engine.connect() as connection:
        stored = {(row.id, row.timestamp_utc) for row in await connection.execute(statement)}
    assert stored == {(row_id, timestamp_of(row_id)), (last_id, late)}
