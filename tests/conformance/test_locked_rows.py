"""Writes of rows that an open transaction has locked wait; other writes do not."""

import asyncio

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SessionRow, SqlRepository, StorageConnectionError, operation_timeout
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import save, several_writers, short_lock_waits, start, storage_with, value_of

pytestmark = pytest.mark.timeout(120)


@several_writers
@short_lock_waits
async def test_the_writers_of_a_locked_row_do_not_delay_others(engine: AsyncEngine) -> None:
    storage, elsewhere = SqlRepository(engine), SqlRepository(engine)
    storage.group_commit.queue.blocked_capacity.max_rows = 10
    async with asyncio.timeout(60), elsewhere.transaction() as holder:
        await save(holder, "locked")
        waiting = start(*(save(storage, "locked", str(number)) for number in range(50)))
        for turn in range(20):
            await asyncio.gather(*(save(storage, f"{turn} {number}") for number in range(20)))
            assert storage.group_commit.queue.blocked_capacity.rows <= 10
        assert not any(call.done() for call in waiting)
    await asyncio.gather(*waiting)
    assert await value_of(storage, "locked") == "49"


@several_writers
@pytest.mark.parametrize("group_commit", [True, False])
async def test_a_write_that_times_out_says_what_it_waited_for(engine: AsyncEngine, *, group_commit: bool) -> None:
    storage, elsewhere = SqlRepository(engine, group_commit=group_commit), SqlRepository(engine)
    async with asyncio.timeout(60), elsewhere.transaction() as holder:
        await save(holder, "locked")
        [first] = start(save(storage, "locked"))
        await asyncio.sleep(0)
        with operation_timeout(0.2):
            with pytest.raises(StorageConnectionError, match=r"not done .* for an earlier write of the same row$"):
                await save(storage, "locked")
            if group_commit:
                storage.group_commit.queue.blocked_capacity.max_rows = 1
                [second] = start(save(storage, "locked"))
                await asyncio.sleep(0)
                with pytest.raises(StorageConnectionError, match=r"not done .* for room in the queue$"):
                    await save(storage, "locked")
                await asyncio.gather(second, return_exceptions=True)
    await first
    capacity = storage.group_commit.queue.blocked_capacity
    assert (capacity.rows, capacity.bytes) == (0, 0)


@pytest.mark.parametrize("target", ["postgresql"])
async def test_behind_a_pooler_a_batch_does_not_wait_for_a_locked_row_either(url: str) -> None:
    caches_off = {"statement_cache_size": "0", "prepared_statement_cache_size": "0"}
    pooled = make_url(url).update_query_dict(caches_off).render_as_string(hide_password=False)
    async with storage_with(pooled) as storage, storage_with(url) as elsewhere, asyncio.timeout(60):
        async with elsewhere.transaction() as holder:
            await save(holder, "5")
            calls = start(*(save(storage, str(number)) for number in range(10)))
            await asyncio.wait([call for number, call in enumerate(calls) if number != 5])
            assert not calls[5].done()
        await asyncio.gather(*calls)


@several_writers
@short_lock_waits
async def test_the_writers_of_many_locked_rows_leave_connections_to_others(url: str) -> None:
    async with storage_with(url, pool_size=3, max_overflow=2) as storage, asyncio.timeout(60):
        async with storage.transaction() as holder:
            for number in range(20):
                await save(holder, f"{number:02}")
            waiting = start(*(save(storage, f"{number:02}", "waited") for number in range(20)))
            for _ in range(10):
                assert await storage.load_daemons() == []
                await asyncio.gather(*start(*(save(storage, f"free {number}") for number in range(5))))
            assert not any(call.done() for call in waiting)
        await asyncio.gather(*waiting)
        assert {await value_of(storage, f"{number:02}") for number in range(20)} == {"waited"}


@several_writers
@short_lock_waits
async def test_a_write_goes_on_when_the_write_it_waited_for_has_timed_out(engine: AsyncEngine) -> None:
    storage, elsewhere = SqlRepository(engine), SqlRepository(engine)
    async with asyncio.timeout(60), elsewhere.transaction() as holder:
        await save(holder, "locked")
        [locked] = start(save(storage, "locked"))
        await asyncio.sleep(0)
        with operation_timeout(0.3):
            [both] = start(storage.save_many([sample(SessionRow, scope="s", key=key) for key in ("locked", "free")]))
        await asyncio.sleep(0)
        await save(storage, "free", "later")
        assert isinstance(both.exception(), StorageConnectionError)
        assert not locked.done()
    await locked
    assert await value_of(storage, "free") == "later"


@several_writers
@short_lock_waits
async def test_a_write_that_waits_for_room_in_the_queue_goes_on_while_a_row_is_locked(
    engine: AsyncEngine,
) -> None:
    storage, elsewhere = SqlRepository(engine), SqlRepository(engine)
    storage.group_commit.queue.blocked_capacity.max_rows = 2
    async with asyncio.timeout(60), elsewhere.transaction() as holder:
        await save(holder, "locked")
        locked = start(*(save(storage, "locked") for _ in range(4)))
        free = start(*(save(storage, "free", str(number)) for number in range(4)))
        await asyncio.gather(*free)
        assert not any(call.done() for call in locked)
    await asyncio.gather(*locked)
    assert await value_of(storage, "free") == "3"


@several_writers
@short_lock_waits
async def test_a_batch_with_a_locked_row_commits_its_other_writes(engine: AsyncEngine) -> None:
    storage, elsewhere = SqlRepository(engine), SqlRepository(engine)
    async with asyncio.timeout(60), elsewhere.transaction() as holder:
        await save(holder, "5")
        calls = start(*(save(storage, str(number % 10), str(number)) for number in range(40)))
        await asyncio.wait([call for number, call in enumerate(calls) if number % 10 != 5])
        assert not any(calls[number].done() for number in range(5, 40, 10))
    await asyncio.gather(*calls)
    assert {key: await value_of(storage, str(key)) for key in range(10)} == {key: str(30 + key) for key in range(10)}
