"""Many concurrent tasks: no row is lost, no call fails, and a cancelled call leaves the pool clean."""

import asyncio
import random

from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import EventRow, SqlRepository
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.concurrency import *  # noqa: F403
from tests.doses import EVERYTHING


async def test_a_cancelled_call_passes_cancellation_through_and_leaves_the_pool_clean(
    repository: SqlRepository, engine: AsyncEngine
) -> None:
    delays = random.Random(5)  # noqa: S311  # repeatable
    stored: list[str] = []

    async def append(number: int) -> None:
        await repository.append_event(sample(EventRow, source=str(number)))
        stored.append(str(number))

    for start in range(0, 300, 10):
        calls = [asyncio.create_task(append(number)) for number in range(start, start + 10)]
        for call in calls:
            await asyncio.sleep(delays.choice([0, 0, 0.0005, 0.001, 0.003]))
            if delays.random() < 0.7:
                call.cancel()
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError)
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # every queue pool has it
    found = [event.source for event in await repository.query_events(None, 999)]
    assert len(found) == len(set(found))
    assert set(stored) <= set(found)


async def test_a_batch_cancelled_anywhere_ends_and_is_stored_whole_or_not_at_all(repository: SqlRepository) -> None:
    batch = 1000
    rows = [sample(EventRow, payload="x" * 700) for _ in range(batch)]
    for step in range(0, 60, 1 if EVERYTHING else 3):
        call = asyncio.create_task(repository.save_many(rows))
        await asyncio.sleep(0.0005 * step)
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled() or call.exception() is None
    assert len(await repository.query_events(None, 99_999)) % batch == 0
