"""``follow_events`` gives each event once, although faults make writers and reader retry."""

import asyncio
import random
from collections import Counter
from contextlib import aclosing, suppress

import pytest

from axon_storage import EventRow, StorageBackend, StorageError, open_storage
from axon_storage.testing.samples import sample
from tests.faults.proxy import storage_through_proxy, storm

TASKS, CALLS, SEED, POLL = 8, 20, 20_261_126, 0.05
SMALL = {"oracle-double-23ai": 4}
"""The Oracle double takes a hundred times as long to connect."""


@pytest.mark.parametrize("reader_through_proxy", [False, True], ids=["reader beside", "reader through the proxy"])
async def test_each_event_is_given_once_under_network_faults(url: str, target: str, reader_through_proxy: bool) -> None:
    acknowledged, given, done = set[str](), list[str](), asyncio.Event()
    dice = random.Random(SEED)  # noqa: S311  # repeatable

    async def read(storage: StorageBackend) -> None:
        async with aclosing(storage.follow_events(poll=POLL)) as events:
            async for recorded in events:
                given.append(recorded.row.source)  # read while the iteration goes on

    async def write(storage: StorageBackend, task: int) -> None:
        for number in range(SMALL.get(target, CALLS)):
            source = f"{task}/{number}"
            with suppress(StorageError):
                if number % 5:
                    await storage.append_event(sample(EventRow, source=source, payload=None))
                else:
                    async with storage.transaction() as transaction:
                        await transaction.append_event(sample(EventRow, source=source, payload=None))
                        await asyncio.sleep(0.05)
                acknowledged.add(source)

    options = {"retry_attempts": 12, "connect_timeout": 2}
    async with (
        open_storage(url, migrate=False) as beside,
        storage_through_proxy(url, **options) as (proxy, storage),
        storage_through_proxy(url, **options) as (other_proxy, other),
    ):
        reader = asyncio.create_task(read(other if reader_through_proxy else beside))
        while not given:  # the iteration has begun when it gives an event
            await beside.append_event(sample(EventRow, source="begun", payload=None))
            await asyncio.sleep(POLL)
        faults = [
            asyncio.create_task(storm(each, dice, done, lambda: len(acknowledged), between=2))
            for each in (proxy, other_proxy)
        ]
        await asyncio.gather(*(write(storage, task) for task in range(TASKS)))
        done.set()
        await asyncio.gather(*faults)
        stored = {row.source for row in await beside.query_events(None, 10**6)}
        while not stored <= set(given):  # another task fills the list
            assert not reader.done(), reader.exception()
            await asyncio.sleep(POLL)
        await asyncio.sleep(10 * POLL)
        stored = {row.source for row in await beside.query_events(None, 10**6)}  # a COMMIT may have been delayed
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader
    assert acknowledged <= stored
    assert sum(proxy.injected.values()) > 0
    counts = Counter(given)
    del counts["begun"]
    assert counts == Counter(stored - {"begun"})
