"""Writes beside open transactions: neither makes the other fail or wait forever."""

import asyncio
import random

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SqlRepository
from axon_storage.testing.suite.beside_transactions import *  # noqa: F403
from tests.conformance.concurrent_writes import save, several_writers, short_lock_waits, start, storage_with

pytestmark = pytest.mark.timeout(120)


@several_writers
@short_lock_waits
async def test_two_transactions_and_a_batch_do_not_deadlock(url: str) -> None:
    async with storage_with(url) as one, storage_with(url) as other, asyncio.timeout(20):

        async def first() -> None:
            async with one.transaction() as transaction:
                await save(transaction, "x")
                await asyncio.sleep(0.2)
                await save(transaction, "m")

        async def second() -> None:
            async with other.transaction() as transaction:
                await save(transaction, "r")
                await asyncio.sleep(0.3)
                await save(transaction, "x")

        async def writes() -> None:
            await asyncio.sleep(0.1)
            await asyncio.gather(save(one, "a"), save(one, "m"), save(one, "r"))

        await asyncio.gather(first(), second(), writes())


@several_writers
@short_lock_waits
@pytest.mark.parametrize("in_order", [True, False])
async def test_single_writes_do_not_make_transactions_fail_with_deadlocks(
    engine: AsyncEngine, *, in_order: bool
) -> None:
    storage, dice = SqlRepository(engine), random.Random(3)  # noqa: S311  # repeatable
    keys, done = [str(number) for number in range(8)], asyncio.Event()
    await asyncio.gather(*(save(storage, key) for key in keys))

    async def write() -> None:
        while not done.is_set():
            await save(storage, dice.choice(keys))

    writers = start(*(write() for _ in range(20)))
    for _ in range(40):
        pair = dice.sample(keys, 2)
        async with storage.transaction() as transaction:
            for key in sorted(pair) if in_order else pair:
                await save(transaction, key)
                await asyncio.sleep(dice.random() * 0.003)
    done.set()
    await asyncio.gather(*writers)


@several_writers
async def test_transactions_that_hold_every_connection_do_not_block_other_writes(url: str) -> None:
    async with storage_with(url, pool_size=2, max_overflow=1) as storage, asyncio.timeout(20):
        opened, go = asyncio.Semaphore(0), asyncio.Event()

        async def transaction(key: str) -> None:
            async with storage.transaction() as transaction:
                await transaction.load_daemons()
                opened.release()
                await go.wait()
                await save(transaction, key, "in a transaction")

        transactions = start(*(transaction(str(number)) for number in range(3)))
        for _ in transactions:
            await opened.acquire()
        writes = start(*(save(storage, str(number), "beside") for number in range(8)))
        await asyncio.wait(writes[1:])  # the first needs a connection of the pool, the others are a batch
        go.set()
        await asyncio.gather(*transactions, *writes)
