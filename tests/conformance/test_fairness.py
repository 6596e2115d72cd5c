"""Fair queueing between tenants: what commits between a lone call and its result, beside a tenant that floods."""

import asyncio
from collections.abc import Awaitable

import pytest

from axon_storage import EventRow, SessionRow, SqlRepository, StorageBackend, StorageConnectionError, operation_timeout
from axon_storage.sql.statements import STATEMENT_ROWS
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import start

CALLS = 6_000
"""More than the queue holds of one tenant."""


@pytest.fixture
def flooding(repository: SqlRepository) -> StorageBackend:
    return repository.for_tenant("flooding")


@pytest.fixture
def lone(repository: SqlRepository) -> StorageBackend:
    """Another tenant. One batch is in flight at a time, so that the batches end in the order of their start."""
    repository.group_commit.max_batches = 1
    return repository.for_tenant("lone")


def append(storage: StorageBackend) -> Awaitable[object]:
    return storage.append_event(sample(EventRow, storage.current_tenant()))


async def rows_before(
    repository: SqlRepository, flood: list[Awaitable[object]], rows: int, call: Awaitable[object]
) -> tuple[int, int]:
    """Make a call beside a flood of calls of ``rows`` rows each.

    Return how many of the flood's rows were being sent when the call was queued, and how many were committed until it
    returned.
    """
    ended = list[object]()

    async def noted(name: object, work: Awaitable[object]) -> None:
        await work
        ended.append(name)  # the calls of a batch return in its order, and before those of the next one

    calls = start(*(noted("flood", work) for work in flood))
    while len(ended) < 2 and not all(call.done() for call in calls):  # noqa: ASYNC110  # there is no event for it
        await asyncio.sleep(0)
    calls += start(noted("lone", call))
    while not (repository.group_commit.queue.ready_capacity.rows_of("lone") or calls[-1].done()):  # noqa: ASYNC110
        await asyncio.sleep(0)
    in_flight, before = sum(len(batch.writes) for batch in repository.group_commit.in_flight.values()), len(ended)
    await asyncio.gather(*calls)
    return in_flight * rows, (ended.index("lone") - before) * rows


async def test_a_lone_call_waits_for_the_batch_in_flight_and_for_no_more_than_its_own(
    repository: SqlRepository, flooding: StorageBackend, lone: StorageBackend
) -> None:
    flood = [append(flooding) for _ in range(CALLS)]
    in_flight, waited = await rows_before(repository, flood, 1, append(lone))
    assert waited <= in_flight + STATEMENT_ROWS
    assert waited < CALLS / 2


async def test_a_lone_save_waits_for_one_large_write_at_most(
    repository: SqlRepository, flooding: StorageBackend, lone: StorageBackend
) -> None:
    flood: list[Awaitable[object]] = [
        flooding.save_many([sample(SessionRow, "flooding", scope=str(call), key=str(row)) for row in range(600)])
        for call in range(9)
    ]
    in_flight, waited = await rows_before(repository, flood, 600, lone.save_session(sample(SessionRow, "lone")))
    assert waited <= in_flight + 600


async def test_a_tenant_at_its_limit_waits_for_room_and_others_do_not(
    repository: SqlRepository, flooding: StorageBackend, lone: StorageBackend
) -> None:
    capacity, batches = repository.group_commit.queue.ready_capacity, repository.group_commit.max_batches
    capacity.tenant_rows, repository.group_commit.max_batches = 10, 0  # nothing is sent
    calls = start(*(append(flooding) for _ in range(64)))
    calls += start(append(lone))
    await asyncio.sleep(0.01)
    with operation_timeout(0.2), pytest.raises(StorageConnectionError, match="waiting for room in the queue") as late:
        await append(flooding)
    assert late.value.transient
    assert (capacity.rows_of("flooding"), capacity.rows_of("lone")) == (10, 1)
    assert (await repository.health()).ready  # others are served
    repository.group_commit.max_batches = batches
    calls += start(append(lone))
    await asyncio.gather(*calls)
    assert len(await flooding.query_events(None, 100)) == 64
    assert len(await lone.query_events(None, 100)) == 2


async def test_the_limit_of_a_tenant_is_an_option(repository: SqlRepository) -> None:
    async with SqlRepository(repository.engine, tenant_queue_rows=7, tenant_queue_bytes=2**20) as storage:
        for capacity in (storage.group_commit.queue.ready_capacity, storage.group_commit.queue.blocked_capacity):
            assert (capacity.tenant_rows, capacity.tenant_bytes) == (7, 2**20)
