"""Group commit beside open transactions: only the writes of locked rows wait."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    CacheRow,
    EventRow,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageConnectionError,
    TraceRow,
    new_id,
    operation_timeout,
)
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import appends, several_writers, short_lock_waits


@several_writers
async def test_only_the_writes_of_a_row_that_a_transaction_has_saved_wait_for_it(repository: SqlRepository) -> None:
    async with asyncio.timeout(30), repository.transaction() as transaction:
        await transaction.save_session(sample(SessionRow, value="transaction"))
        held = asyncio.create_task(repository.save_session(sample(SessionRow, value="after")))
        second = asyncio.create_task(repository.save_session(sample(SessionRow, value="last")))
        for number in range(20):  # if these had to wait too, the transaction would never end
            await asyncio.create_task(repository.append_event(sample(EventRow, source=str(number))))
            await asyncio.create_task(repository.save_session(sample(SessionRow, key=str(number))))
        assert not held.done()
        assert not second.done()
    await asyncio.gather(held, second)
    entry = await repository.get_session("name", "name")
    assert entry is not None
    assert entry.value == "last"


@several_writers
@pytest.mark.parametrize(
    "how",
    [
        "evicts",
        pytest.param("appends", marks=short_lock_waits),
    ],
)
async def test_only_the_writes_of_a_row_locked_by_an_eviction_or_append_wait_for_it(
    repository: SqlRepository, how: str
) -> None:
    known, cached = new_id(), sample(CacheRow, ttl_secs=0)
    await repository.save_cache_entry(cached)
    async with asyncio.timeout(30), repository.transaction() as transaction:
        if how == "evicts":
            assert await transaction.evict_expired_cache() == 1
        else:
            await transaction.append_event(sample(EventRow), id=known)
        calls = appends(repository, range(2))
        await asyncio.sleep(0)
        held: asyncio.Task[Any] = asyncio.create_task(
            repository.save_cache_entry(cached)
            if how == "evicts"
            else repository.append_event(sample(EventRow), id=known)
        )
        calls += appends(repository, range(2, 9))
        await asyncio.gather(*calls)
        assert not held.done()
    await held


@several_writers
async def test_a_transaction_that_waits_for_a_batch_in_flight_does_not_deadlock(
    repository: SqlRepository, engine: AsyncEngine
) -> None:
    elsewhere = SqlRepository(engine)
    await repository.save_trace(sample(TraceRow))
    async with asyncio.timeout(30):
        async with elsewhere.transaction() as holder:  # stands for another process
            await holder.save_trace(sample(TraceRow))
            first = asyncio.create_task(repository.append_audit(sample(AuditRow)))
            await asyncio.sleep(0)
            batch = [
                asyncio.create_task(repository.save_trace(sample(TraceRow))),  # its table is written first
                asyncio.create_task(repository.save_session(sample(SessionRow))),
                *appends(repository, range(3)),
            ]
            await first
            await asyncio.sleep(0.3)
            transaction = asyncio.create_task(_save_and_wait_for(repository, batch[-1]))
            await asyncio.sleep(0.3)
        await asyncio.gather(transaction, *batch)


async def _save_and_wait_for(repository: SqlRepository, other: "asyncio.Future[Any]") -> None:
    async with repository.transaction() as transaction:
        await transaction.save_session(sample(SessionRow))
        await other


@several_writers
async def test_writes_that_wait_for_a_locked_row_start_few_batches(repository: SqlRepository) -> None:
    async with asyncio.timeout(30), repository.transaction() as transaction:
        await transaction.save_session(sample(SessionRow))
        calls = [asyncio.create_task(repository.save_session(sample(SessionRow))) for _ in range(3)]
        await asyncio.sleep(0.5)
        assert repository.group_commit.batches_started < 20
    await asyncio.gather(*calls)


@several_writers
async def test_a_cancelled_write_does_not_delay_others(repository: SqlRepository) -> None:
    async with asyncio.timeout(30), repository.transaction() as transaction:
        await transaction.save_session(sample(SessionRow, key="held"))
        held = asyncio.create_task(repository.save_session(sample(SessionRow, key="held")))
        await asyncio.sleep(0)
        both = asyncio.create_task(repository.save_many([sample(SessionRow, key=key) for key in ("held", "free")]))
        await asyncio.sleep(0.3)
        both.cancel()
        await asyncio.wait({both})
        await asyncio.create_task(repository.save_session(sample(SessionRow, key="free")))
        assert not held.done()
    await held


@several_writers
async def test_a_call_may_have_a_longer_time_out_than_the_storage(engine: AsyncEngine) -> None:
    repository, elsewhere = SqlRepository(engine, operation_timeout=0.5), SqlRepository(engine)
    async with asyncio.timeout(30), elsewhere.transaction() as holder:
        await holder.save_session(sample(SessionRow))
        first = appends(repository, ["first"])
        await asyncio.sleep(0)
        with operation_timeout(20):
            call = asyncio.create_task(repository.save_session(sample(SessionRow)))
        await asyncio.gather(*first)
        await asyncio.sleep(2.5)
        assert not call.done()
    await call


@several_writers
async def test_the_time_out_of_one_call_does_not_affect_others(repository: SqlRepository) -> None:
    async with asyncio.timeout(30), repository.transaction() as transaction:
        await transaction.save_session(sample(SessionRow, value="transaction"))
        held = asyncio.create_task(repository.save_session(sample(SessionRow, value="held")))
        await asyncio.sleep(0)
        with (
            operation_timeout(0.3),
            pytest.raises(StorageConnectionError, match=r"save_session: not done within 0\.3 s"),
        ):
            await asyncio.create_task(repository.save_session(sample(SessionRow, value="timed out")))
        assert not held.done()
    await held
    entry = await repository.get_session("name", "name")
    assert entry is not None
    assert entry.value == "held"


@pytest.mark.parametrize("target", ["postgresql"])
async def test_the_example_in_the_documentation(repository: SqlRepository, engine: AsyncEngine) -> None:
    def save(storage: StorageBackend, key: str, value: str) -> Coroutine[Any, Any, None]:
        return storage.save_session(sample(SessionRow, key=key, value=value))

    async with asyncio.timeout(30), SqlRepository(engine).transaction() as holder:
        await save(holder, "B", "0")
        calls = [
            *appends(repository, ["W0"]),
            asyncio.create_task(save(repository, "A", "1")),
            asyncio.create_task(save(repository, "B", "1")),
            asyncio.create_task(save(repository, "A", "2")),
            asyncio.create_task(repository.delete_session("name", "A")),
            asyncio.create_task(save(repository, "A", "3")),
        ]
        await asyncio.wait(set(calls) - {calls[2]})
        assert not calls[2].done()
        assert calls[4].result() is True
        assert repository.group_commit.batches_started == 3
        assert [batch.single for batch in repository.group_commit.in_flight.values()] == [True]
    await asyncio.gather(*calls)
    assert [(entry.key, entry.value) for entry in await repository.load_sessions("name")] == [("A", "3"), ("B", "1")]
