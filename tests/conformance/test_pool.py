"""The default pool keeps connections open for many readers, and open transactions leave some for other calls."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SessionRow, SqlRepository, create_engine
from axon_storage.testing.samples import sample

READERS = 32
TRANSACTIONS = 12


@pytest.fixture
async def default(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine with the default pool."""
    made = create_engine(url)
    yield made
    await made.dispose()


async def _read(storage: SqlRepository) -> None:
    async def reader() -> None:
        for _ in range(10):
            assert await storage.get_session("name", "name") == sample(SessionRow)

    await asyncio.gather(*(reader() for _ in range(READERS)))


async def test_many_readers_reuse_the_connections_of_the_pool(default: AsyncEngine) -> None:
    opened = 0

    def count(*_: object) -> None:
        nonlocal opened
        opened += 1

    event.listen(default.sync_engine, "do_connect", count)
    storage = SqlRepository(default)
    await storage.save_session(sample(SessionRow))
    for _ in range(3):
        await _read(storage)
    assert opened <= 15


@pytest.mark.not_on("sqlite", "only one transaction is open at a time")
async def test_open_transactions_leave_connections_for_readers(default: AsyncEngine) -> None:
    storage = SqlRepository(default)
    await storage.save_session(sample(SessionRow))
    opened, done = asyncio.Semaphore(0), asyncio.Event()

    async def hold_a_transaction_open() -> None:
        async with storage.transaction() as transaction:
            assert await transaction.get_session("name", "name") == sample(SessionRow)
            opened.release()
            await done.wait()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(TRANSACTIONS):
            group.create_task(hold_a_transaction_open())
        for _ in range(TRANSACTIONS):
            await opened.acquire()
        await _read(storage)
        await storage.save_session(sample(SessionRow, key="beside"))
        done.set()
