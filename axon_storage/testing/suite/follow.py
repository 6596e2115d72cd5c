"""``follow_events`` gives every event that any process commits once, also those that are committed late."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest

from axon_storage import (
    EventRow,
    StorageBackend,
    new_id,
)
from axon_storage.testing.samples import sample

POLL = 0.02


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


async def test_events_are_given_once_in_order_from_the_start_of_the_iteration(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.append_event(event_of("before", tenant))
    async with following(storage) as found:
        for number in range(5):
            await storage.append_event(event_of(number, tenant))
        await storage.save_many(event_of(number, tenant) for number in range(5, 1_205))
        async with storage.transaction() as transaction:
            await transaction.append_event(event_of(1_205, tenant))
        sources = await settled(found, 1_206)
    assert sources == [str(number) for number in range(1_206)]


async def test_only_the_events_of_a_topic_are_given(storage: StorageBackend) -> None:
    event = partial(event_of, tenant=storage.current_tenant())
    async with following(storage, topic="a") as found:
        for number in range(9):
            await storage.append_event(event(number, topic=["a", "A", "a "][number % 3]))
        sources = await settled(found, 3)
    assert sources == ["0", "3", "6"]


async def test_an_id_that_was_made_before_those_of_given_events_is_given(storage: StorageBackend) -> None:
    event = partial(event_of, tenant=storage.current_tenant())
    async with following(storage) as found:
        ids = [new_id() for _ in range(1_500)]
        await storage.append_event(event("newer"))
        assert await settled(found, 1) == ["newer"]
        await asyncio.gather(*(storage.append_event(event(number), id=row_id) for number, row_id in enumerate(ids)))
        sources = await settled(found, 1_501)
    assert sources[0] == "newer"
    assert sorted(sources[1:], key=int) == [str(number) for number in range(1_500)]


async def test_with_after_the_iteration_continues_and_repeats_only_what_is_within_the_horizon(
    storage: StorageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = partial(event_of, tenant=storage.current_tenant())
    await storage.append_event(event("old"))
    await asyncio.sleep(0.5)
    late = new_id()
    await storage.append_event(event("recent"))
    last = await storage.append_event(event("last"))
    await storage.append_event(event("newer"))
    await storage.append_event(event("late"), id=late)  # after the caller saw "last"
    monkeypatch.setattr(storage, "follow_horizon", 0.4)
    async with following(storage, after=last) as found:
        assert await settled(found, 3) == ["late", "recent", "newer"]


async def test_with_after_a_long_history_is_given_page_by_page(storage: StorageBackend) -> None:
    event = partial(event_of, tenant=storage.current_tenant())
    first = await storage.append_event(event("first"))
    await storage.save_many(event(number) for number in range(2_300))
    async with following(storage, after=first) as found:
        sources = await settled(found, 2_300)
    assert sources == [str(number) for number in range(2_300)]


async def test_ids_older_than_the_horizon_are_forgotten(
    storage: StorageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = partial(event_of, tenant=storage.current_tenant())
    monkeypatch.setattr(storage, "follow_horizon", 0.2)
    old = new_id()
    async with following(storage) as found:
        await storage.append_event(event("newer"))
        await asyncio.sleep(0.5)
        await storage.append_event(event("too late"), id=old)
        assert await settled(found, 1) == ["newer"]
