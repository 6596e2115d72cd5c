"""A storage has no more connections open than it says: its pool's, and two of group commits."""

import asyncio

from sqlalchemy.engine import make_url

from axon_storage import EventRow, SessionRow, open_storage
from tests.faults.proxy import Proxy
from tests.samples import sample

POOL, OVERFLOW, OF_GROUP_COMMITS = 2, 1, 2


async def test_a_busy_storage_has_its_pools_connections_and_two_more(url: str) -> None:
    proxy, most, done = Proxy(make_url(url).port or 0), 0, asyncio.Event()

    async def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, proxy.connections)
            await asyncio.sleep(0)

    async with proxy.running() as port:
        through = make_url(url).set(port=port).render_as_string(hide_password=False)
        async with open_storage(through, migrate=False, pool_size=POOL, max_overflow=OVERFLOW) as storage:
            watching = asyncio.create_task(watch())

            async def holds(key: str, opened: asyncio.Barrier) -> None:
                async with storage.transaction() as transaction:
                    await transaction.save_session(sample(SessionRow, scope="held", key=key))
                    await opened.wait()

            await storage.load_daemons()
            opened = asyncio.Barrier(POOL + OVERFLOW + 1)
            holders = [asyncio.create_task(holds(str(number), opened)) for number in range(POOL + OVERFLOW)]
            writes = [asyncio.create_task(storage.append_event(sample(EventRow))) for _ in range(5000)]
            await asyncio.wait(writes[1:])  # the first goes alone and may need a connection of the pool
            await opened.wait()
            await asyncio.gather(*holders, *writes)
            done.set()
            await watching
    assert POOL + OVERFLOW < most <= POOL + OVERFLOW + OF_GROUP_COMMITS
