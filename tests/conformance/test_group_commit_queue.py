"""The queue of group commit: its capacity, cancelled callers and tasks, and closing."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import EventRow, SqlRepository, StorageConnectionError, create_engine
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import CALLS, appends, sources, tasks_of_statements


async def test_cancelled_callers_do_not_affect_the_others(repository: SqlRepository, engine: AsyncEngine) -> None:
    calls = appends(repository, range(CALLS))
    await asyncio.sleep(0)
    for call in calls[1::2]:
        call.cancel()
    with tasks_of_statements(engine) as tasks:
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[1::2])
    assert await sources(repository) == sorted(map(str, range(0, CALLS, 2)))  # the others were removed from the queue
    assert len(tasks) <= CALLS / 8
    capacity = repository.group_commit.queue.ready_capacity
    assert (capacity.rows, capacity.bytes) == (0, 0)


async def test_close_waits_for_all_queued_writes(url: str, engine: AsyncEngine) -> None:
    repository = SqlRepository(create_engine(url))
    calls = appends(repository, range(CALLS))
    await asyncio.sleep(0)
    await repository.close()
    assert all(call.done() for call in calls)
    await asyncio.gather(*calls)
    with pytest.raises(StorageConnectionError, match="closed"):
        await repository.append_event(sample(EventRow))
    assert len(await sources(SqlRepository(engine))) == CALLS


async def test_callers_wait_for_room_in_a_full_queue(repository: SqlRepository) -> None:
    capacity, most_rows = repository.group_commit.queue.ready_capacity, 0
    capacity.max_rows = 10
    calls = appends(repository, range(CALLS))
    while not all(call.done() for call in calls):
        most_rows = max(most_rows, capacity.rows)
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert most_rows == 10
    assert await sources(repository) == sorted(map(str, range(CALLS)))


async def test_callers_cancelled_while_they_wait_for_room_leave_it_to_others(repository: SqlRepository) -> None:
    repository.group_commit.queue.ready_capacity.max_rows = 4
    calls = appends(repository, range(CALLS))
    await asyncio.sleep(0)
    for call in calls[10::2]:
        call.cancel()
    await asyncio.wait(calls)
    assert await sources(repository) == sorted(map(str, [*range(10), *range(11, CALLS, 2)]))


@pytest.mark.parametrize("callers_too", [True, False])
async def test_after_its_tasks_were_cancelled_group_commit_works_and_closes(url: str, callers_too: bool) -> None:
    repository = SqlRepository(create_engine(url))
    async with asyncio.timeout(40):
        for steps in range(20):
            calls = appends(repository, range(CALLS))
            for _ in range(1 + steps % 5):
                await asyncio.sleep(0)
            while not repository.group_commit.in_flight and not all(call.done() for call in calls):  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0)
            for task in [*repository.group_commit.in_flight, *(calls if callers_too else [])]:
                task.cancel()
            await asyncio.wait(calls)
        await asyncio.gather(*appends(repository, range(CALLS)))
        await repository.close()
