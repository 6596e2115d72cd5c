"""A storage opens no more connections than documented: those of its pool, and two for group commit."""

import asyncio

from axon_storage import EventRow, SessionRow
from axon_storage.testing.samples import sample
from tests.faults.proxy import storage_through_proxy

POOL, OVERFLOW, GROUP_COMMIT = 2, 1, 2


async def test_a_busy_storage_has_its_pools_connections_and_two_more(url: str) -> None:
    most, done = 0, asyncio.Event()

    async def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, proxy.connections)
            await asyncio.sleep(0)

    async with storage_through_proxy(url, pool_size=POOL, max_overflow=OVERFLOW) as (proxy, storage):
        watching = asyncio.create_task(watch())

        async def holds(key: str, opened: asyncio.Barrier) -> None:
            async with storage.transaction() as transaction:
                await transaction.save_session(sample(SessionRow, scope="held", key=key))
                await opened.wait()

        await storage.load_daemons()
        opened = asyncio.Barrier(POOL + OVERFLOW + 1)
        holders = [asyncio.create_task(holds(str(number), opened)) for number in range(POOL + OVERFLOW)]
        writes = [asyncio.create_task(storage.append_event(sample(EventRow))) for _ in range(5000)]
        await asyncio.wait(writes[1:])  # the first is not in a batch, and may need a connection of the pool
        await opened.wait()
        await asyncio.gather(*holders, *writes)
        done.set()
        await watching
    assert POOL + OVERFLOW < most <= POOL + OVERFLOW + GROUP_COMMIT
