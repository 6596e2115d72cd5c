"""The pool by default: many readers open no connection again and again, and open blocks leave some for other calls."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SessionRow, SqlRepository, create_engine
from tests.samples import sample

READERS = 32
BLOCKS = 12


@pytest.fixture
async def default(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine with the pool that is the default."""
    made = create_engine(url)
    yield made
    await made.dispose()


async def _read(storage: SqlRepository) -> None:
    async def reader() -> None:
        for _ in range(10):
            assert await storage.get_session("name", "name") == sample(SessionRow)

    await asyncio.gather(*(reader() for _ in range(READERS)))


async def test_many_readers_keep_the_connections_they_opened(default: AsyncEngine) -> None:
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


@pytest.mark.not_on("sqlite", "one block is open at a time")
async def test_open_blocks_leave_connections_for_readers(default: AsyncEngine) -> None:
    storage = SqlRepository(default)
    await storage.save_session(sample(SessionRow))
    opened, done = asyncio.Semaphore(0), asyncio.Event()

    async def hold_a_block_open() -> None:
        async with storage.transaction() as block:
            assert await block.get_session("name", "name") == sample(SessionRow)
            opened.release()
            await done.wait()

    async with asyncio.timeout(60), asyncio.TaskGroup() as blocks:
        for _ in range(BLOCKS):
            blocks.create_task(hold_a_block_open())
        for _ in range(BLOCKS):
            await opened.acquire()
        await _read(storage)
        await storage.save_session(sample(SessionRow, key="beside"))
        done.set()
