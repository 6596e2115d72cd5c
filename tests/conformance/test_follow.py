"""``follow_events`` gives every event that any process commits once, also those that are committed late."""

import asyncio
import time
from collections.abc import AsyncGenerator
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
    StorageConnectionError,
    StorageDispatcher,
    create_engine,
    new_id,
)
from axon_storage.engine.executor import Executor
from axon_storage.engine.timeouts import operation_timeout
from axon_storage.model.ids import timestamp_of
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.follow import *  # noqa: F403
from axon_storage.testing.suite.follow import POLL, event_of, following, settled
from tests.conformance.concurrent_writes import several_writers, storage_with

Events = AsyncGenerator[Recorded[EventRow], None]


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
