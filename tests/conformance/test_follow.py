"""``follow_events`` gives every event that any process commits once, also those that are committed late."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from axon_storage import (
    AuditRow,
    EventRow,
    InMemoryBackend,
    InvalidArgumentError,
    QueryError,
    Recorded,
    SerializationError,
    SqlRepository,
    StorageBackend,
    StorageConnectionError,
    StorageDispatcher,
    create_engine,
    new_id,
)
from axon_storage.engine.executor import Executor
from axon_storage.engine.timeouts import operation_timeout
from axon_storage.model.ids import timestamp_of
from tests.conformance.concurrent_writes import several_writers, storage_with
from tests.samples import sample

POLL = 0.02

Events = AsyncGenerator[Recorded[EventRow], None]


def event_of(source: object, tenant: str = "default", topic: str = "name") -> EventRow:
    return sample(EventRow, tenant, source=str(source), topic=topic, payload=None)


@asynccontextmanager
async def following(storage: StorageBackend, **options: Any) -> AsyncIterator[list[str]]:
    """Follow events in a task that has begun, and collect their sources."""
    found: list[str] = []

    async def read() -> None:
        async with aclosing(storage.follow_events(**{"poll": POLL, **options})) as events:
            async for recorded in events:
                found.append(recorded.row.source)  # noqa: PERF401  # read while the iteration goes on

    task = asyncio.create_task(read())
    while not found:  # the iteration has begun when it gives an event
        await storage.append_event(event_of("begun", storage.current_tenant(), options.get("topic") or "name"))
        await asyncio.sleep(POLL)
    try:
        yield found
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def settled(found: list[str], count: int) -> list[str]:
    """Wait for ``count`` events and several more polls, and return what was found without those of ``following``."""
    while len(_own(found)) < count:  # noqa: ASYNC110  # another task fills the list
        await asyncio.sleep(POLL)
    await asyncio.sleep(8 * POLL)
    return _own(found)


def _own(found: list[str]) -> list[str]:
    return [source for source in found if source != "begun"]


async def test_events_are_given_once_in_order_from_the_start_of_the_iteration(
    storage: StorageBackend, tenant: str
) -> None:
    await storage.append_event(event_of("before", tenant))
    async with following(storage) as found:
        for number in range(5):
            await storage.append_event(event_of(number, tenant))
        await storage.save_many(event_of(number, tenant) for number in range(5, 1_205))
        async with storage.transaction() as transaction:
            await transaction.append_event(event_of(1_205, tenant))
        sources = await settled(found, 1_206)
    assert sources == [str(number) for number in range(1_206)]


async def test_only_the_events_of_a_topic_are_given(repository: SqlRepository) -> None:
    async with following(repository, topic="a") as found:
        for number in range(9):
            await repository.append_event(event_of(number, topic=["a", "A", "a "][number % 3]))
        sources = await settled(found, 3)
    assert sources == ["0", "3", "6"]


@several_writers
async def test_an_event_that_another_storage_commits_late_is_given_after_newer_ones(
    url: str, repository: SqlRepository
) -> None:
    async with storage_with(url) as other, following(repository) as found:
        async with other.transaction() as transaction:
            await transaction.append_event(event_of("late"))
            await repository.append_event(event_of("newer"))
            assert await settled(found, 1) == ["newer"]
        assert await settled(found, 2) == ["newer", "late"]


async def test_an_id_that_was_made_before_those_of_given_events_is_given(repository: SqlRepository) -> None:
    async with following(repository) as found:
        ids = [new_id() for _ in range(1_500)]
        await repository.append_event(event_of("newer"))
        assert await settled(found, 1) == ["newer"]
        await asyncio.gather(
            *(repository.append_event(event_of(number), id=row_id) for number, row_id in enumerate(ids))
        )
        sources = await settled(found, 1_501)
    assert sources[0] == "newer"
    assert sorted(sources[1:], key=int) == [str(number) for number in range(1_500)]


async def test_with_after_the_iteration_continues_and_repeats_only_what_is_within_the_horizon(
    repository: SqlRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await repository.append_event(event_of("old"))
    await asyncio.sleep(0.5)
    late = new_id()
    await repository.append_event(event_of("recent"))
    last = await repository.append_event(event_of("last"))
    await repository.append_event(event_of("newer"))
    await repository.append_event(event_of("late"), id=late)  # after the caller saw "last"
    monkeypatch.setattr(repository, "follow_horizon", 0.4)
    async with following(repository, after=last) as found:
        assert await settled(found, 3) == ["late", "recent", "newer"]


async def test_with_after_a_long_history_is_given_page_by_page(repository: SqlRepository) -> None:
    first = await repository.append_event(event_of("first"))
    await repository.save_many(event_of(number) for number in range(2_300))
    async with following(repository, after=first) as found:
        sources = await settled(found, 2_300)
    assert sources == [str(number) for number in range(2_300)]


async def test_ids_older_than_the_horizon_are_forgotten(
    repository: SqlRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "follow_horizon", 0.2)
    old = new_id()
    async with following(repository) as found:
        await repository.append_event(event_of("newer"))
        await asyncio.sleep(0.5)
        await repository.append_event(event_of("too late"), id=old)
        assert await settled(found, 1) == ["newer"]


async def _refused(repository: SqlRepository) -> QueryError:
    with pytest.raises(QueryError, match=r"cannot be committed more than 0\.1 s after it was appended") as refused:
        async with repository.transaction() as transaction:
            await transaction.append_event(event_of("too late"))
            await asyncio.sleep(0.2)
            await transaction.append_event(event_of("in time"))
    return refused.value


async def test_a_transaction_with_an_event_older_than_the_horizon_is_rolled_back(
    repository: SqlRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await repository.append_event(event_of("first"))  # so that connecting takes no time below
    monkeypatch.setattr(Executor, "append_horizon", 0.1)
    error = await _refused(repository)
    assert error.transient
    assert error.operation == "transaction"
    monkeypatch.setattr(Executor, "append_horizon", 60.0)
    assert [row.source for row in await repository.query_events(None, 9)] == ["first"]
    # the same again, and a transaction without events
    monkeypatch.setattr(Executor, "append_horizon", 0.1)
    async with repository.transaction() as transaction:
        await transaction.append_audit(sample(AuditRow))
        await asyncio.sleep(0.2)
    assert len(await repository.query_audit(9)) == 1


async def test_recorded_events_may_be_committed_at_any_time(
    repository: SqlRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await repository.append_event(event_of("first"))
    [recorded] = [recorded async for recorded in repository.iter_events()]
    monkeypatch.setattr(Executor, "append_horizon", 0.1)
    async with repository.transaction() as transaction:
        await transaction.save_many([recorded])
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("group_commit", [True, False])
async def test_an_append_that_stalls_longer_than_the_horizon_is_not_stored(
    url: str, group_commit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(url)
    async with SqlRepository(engine, group_commit=group_commit) as storage:
        await storage.append_event(event_of("first"))
        stall = 0.3

        def checkout(*_: object) -> None:
            time.sleep(stall)  # the process is stopped between the id and the statement

        event.listen(engine.sync_engine, "checkout", checkout)
        monkeypatch.setattr(Executor, "append_horizon", 0.2)
        for call in (
            lambda: storage.append_event(event_of("late")),
            lambda: storage.append_event(event_of("late"), id=new_id()),
            lambda: storage.save_many([event_of("late"), event_of("late")]),
        ):
            with pytest.raises((QueryError, StorageConnectionError)) as refused:
                await call()
            assert refused.value.transient
        await storage.append_audit(sample(AuditRow))  # other rows are not followed
        stall = 0.0
        assert [row.source for row in await storage.query_events(None, 9)] == ["first"]
        await storage.append_event(event_of("in time"))


@several_writers
async def test_an_append_that_waits_for_a_lock_ends_within_the_horizon(
    url: str, repository: SqlRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with storage_with(url) as storage:
        row_id = new_id()
        monkeypatch.setattr(Executor, "append_horizon", 0.5)
        async with repository.transaction() as transaction:
            await transaction.save_many([Recorded(row_id, timestamp_of(row_id), event_of("first"))])  # locks this id
            with operation_timeout(60.0), pytest.raises((QueryError, StorageConnectionError)):
                await storage.append_event(event_of("late"), id=row_id)
        assert [row.source for row in await storage.query_events(None, 9)] == ["first"]


async def test_the_end_of_the_iteration(url: str) -> None:
    async with storage_with(url) as storage:
        for view in (storage, storage.for_tenant("default"), StorageDispatcher(storage)):
            events: Events = view.follow_events(poll=POLL)
            step = asyncio.ensure_future(anext(events))
            await asyncio.sleep(5 * POLL)
            step.cancel()
            with pytest.raises(asyncio.CancelledError):
                await step
            with pytest.raises(StopAsyncIteration):
                await anext(events)
            events = view.follow_events(poll=POLL)
            step = asyncio.ensure_future(anext(events))
            await asyncio.sleep(5 * POLL)
            await storage.append_event(event_of("one"))
            assert (await step).row.source == "one"
            await events.aclose()
        ending = asyncio.create_task(_sources(storage.follow_events(poll=POLL)))
        await asyncio.sleep(5 * POLL)
    assert await ending == []
    assert await _sources(storage.follow_events(poll=POLL)) == []


async def _sources(events: Events) -> list[str]:
    return [recorded.row.source async for recorded in events]


async def test_the_iteration_of_the_backend_that_keeps_nothing_ends_when_it_is_closed() -> None:
    async with StorageDispatcher.in_memory() as storage:
        ending = asyncio.create_task(_sources(storage.for_tenant("a").follow_events(poll=POLL)))
        await storage.append_event(event_of("one"))
        await asyncio.sleep(5 * POLL)
        assert not ending.done()
    assert await ending == []


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"poll": 0}, "poll must be a finite number of seconds above 0"),
        ({"poll": float("inf")}, "poll"),
        ({"poll": float("nan")}, "poll"),
        ({"poll": True}, "poll"),
        ({"poll": "1"}, "poll"),
        ({"after": "an id"}, "after: not a UUIDv7"),
        ({"after": UUID(int=0)}, "after: not a UUIDv7"),
    ],
)
def test_invalid_options_are_refused_at_once(options: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidArgumentError, match=place):
        InMemoryBackend().follow_events(**options)
    with pytest.raises(SerializationError, match="topic"):
        InMemoryBackend().follow_events("a" * 256)
