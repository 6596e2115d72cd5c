"""Writes of the same row take effect in the order of their calls, also when some wait, fail or are cancelled."""

import asyncio
import random

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SessionRow, SqlRepository, StorageConnectionError, operation_timeout
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import save, start, value_of

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("group_commit", [True, False])
async def test_a_later_write_of_several_rows_is_not_overwritten_by_an_earlier_one(
    engine: AsyncEngine, *, group_commit: bool
) -> None:
    storage = SqlRepository(engine, group_commit=group_commit)
    for turn in range(5):
        async with storage.transaction() as transaction:
            await save(transaction, "held")
            both = [sample(SessionRow, scope="s", key=key, value=f"{turn} new") for key in ("row", "held")]
            calls = start(save(storage, "other"), save(storage, "row", f"{turn} old"), storage.save_many(both))
            await asyncio.sleep(0.05)
        await asyncio.gather(*calls)
        assert await value_of(storage, "row") == f"{turn} new"


@pytest.mark.parametrize("group_commit", [True, False])
async def test_writes_of_one_row_take_effect_in_the_order_of_their_calls(
    engine: AsyncEngine, *, group_commit: bool
) -> None:
    storage, dice = SqlRepository(engine, group_commit=group_commit), random.Random(7)  # noqa: S311  # repeatable
    for turn in range(10):
        calls, last = [], dict[str, str]()
        for number in range(20):
            keys = dice.sample(["a", "b", "c"], dice.randint(1, 3))
            rows = [sample(SessionRow, scope="s", key=key, value=f"{turn} {number}") for key in keys]
            calls += start(storage.save_many(rows) if len(rows) > 1 else storage.save_session(rows[0]))
            last |= dict.fromkeys(keys, f"{turn} {number}")
            if dice.random() < 0.3:
                await asyncio.sleep(0.001)
        await asyncio.gather(*calls)
        assert {key: await value_of(storage, key) for key in last} == last


@pytest.mark.not_on("oracle", "the double goes on with a statement that waits for a lock after its client has gone")
@pytest.mark.parametrize("ends", ["cancelled", "timed out"])
@pytest.mark.parametrize("group_commit", [True, False])
async def test_a_cancelled_or_timed_out_write_does_not_overwrite_a_later_one(
    engine: AsyncEngine, ends: str, *, group_commit: bool
) -> None:
    storage = SqlRepository(engine, group_commit=group_commit)
    async with storage.transaction() as transaction:
        await save(transaction, "row", "first")
        await save(transaction, "held")
        [other] = start(save(storage, "held"))  # in flight, so the next one is queued
        await asyncio.sleep(0.02)
        with operation_timeout(0.1 if ends == "timed out" else 60):
            [failing] = start(save(storage, "row", "failed"))
        await asyncio.sleep(0.05)
        if ends == "cancelled":
            failing.cancel()
        await asyncio.wait({failing})
        assert failing.cancelled() or isinstance(failing.exception(), StorageConnectionError)
        await save(transaction, "row", "last")
    await other
    assert await value_of(storage, "row") == "last"
    await save(storage, "held")  # is sent after everything that was in flight
    assert await value_of(storage, "row") == "last"


async def test_a_cancelled_write_of_a_batch_does_not_affect_the_others(engine: AsyncEngine) -> None:
    storage = SqlRepository(engine)
    keys = [str(number) for number in range(40)]
    for turn in range(6):
        calls = start(*(save(storage, key, f"{turn}") for key in keys))
        await asyncio.sleep(0.001 * turn)
        for call in calls[::5]:
            call.cancel()
        await asyncio.wait(calls)
        first = {key: await value_of(storage, key) for key in keys}
        for key, call in zip(keys, calls, strict=True):
            assert call.cancelled() or first[key] == f"{turn}"
        assert {key: await value_of(storage, key) for key in keys} == first
