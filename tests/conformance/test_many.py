"""Writes of many rows: save_many, transaction(), and deletes of any size."""

import asyncio

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    EventRow,
    SqlRepository,
    TraceRow,
)
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.many import *  # noqa: F403


async def test_a_delete_of_many_ids_is_one_transaction(repository: SqlRepository, engine: AsyncEngine) -> None:
    await repository.save_many(sample(TraceRow, trace_id=number * 1000) for number in range(5))
    commits: list[object] = []

    def note(connection: object) -> None:
        commits.append(connection)

    event.listen(engine.sync_engine, "commit", note)
    try:
        assert await repository.delete_traces(range(5000)) == 5
    finally:
        event.remove(engine.sync_engine, "commit", note)
    assert len(commits) == 1


async def test_a_transaction_cancelled_at_its_end_leaves_the_pool_clean(repository: SqlRepository) -> None:
    calls: list[asyncio.Task[None]] = []

    async def leave_a_call_behind() -> None:
        async with repository.transaction() as transaction:
            calls.append(asyncio.create_task(transaction.save_many(sample(EventRow) for _ in range(2000))))
            await asyncio.sleep(0.01)

    for _ in range(5):
        ending = asyncio.create_task(leave_a_call_behind())
        await asyncio.sleep(0.015)
        ending.cancel()
        await asyncio.gather(ending, *calls, return_exceptions=True)
        await repository.save_trace(sample(TraceRow))
        assert await repository.load_traces(9) == [sample(TraceRow)]
    assert len(await repository.query_events(None, 99_999)) % 2000 == 0
