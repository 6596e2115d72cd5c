"""Health, busy pools, closing and switching of an open storage."""

import asyncio
import threading

import pytest

from axon_storage import (
    InMemoryBackend,
    SqlRepository,
    StorageConnectionError,
    StorageDispatcher,
    TraceRow,
    create_engine,
    open_storage,
)
from axon_storage.testing.samples import sample
from tests.databases import Databases


@pytest.mark.needs_role("owner", reason="it needs a database without a schema")
async def test_is_healthy_is_false_without_a_schema_or_a_server(databases: Databases, target: str) -> None:
    storage = SqlRepository(create_engine(await databases.empty(target)))
    assert not await storage.is_healthy()
    await storage.close()
    nowhere = "sqlite:////nowhere/at/all.db" if target == "sqlite" else "postgresql://a:b@127.0.0.1:1/x"
    storage = SqlRepository(create_engine(nowhere))
    assert not await storage.is_healthy()
    await storage.close()


async def test_is_healthy_is_true_while_the_pool_is_busy(url: str) -> None:
    opened = open_storage(url, pool_size=1, max_overflow=0, pool_timeout=0.2)
    async with opened as storage, storage.transaction() as transaction:
        await transaction.load_traces(1)
        assert await storage.is_healthy()


async def test_a_pool_that_stays_busy_is_a_transient_error(url: str) -> None:
    async with open_storage(url, pool_size=1, max_overflow=0, pool_timeout=0.05) as storage:
        async with storage.transaction():
            with pytest.raises(StorageConnectionError, match="load_traces: no connection of the pool") as busy:
                await storage.load_traces(1)
            assert busy.value.transient
        assert await storage.load_traces(1) == []


async def test_close_waits_for_calls_in_progress_and_refuses_later_ones(url: str) -> None:
    storage = await StorageDispatcher.from_url(url)
    calls = [asyncio.create_task(storage.save_trace(sample(TraceRow, trace_id=number))) for number in range(10)]
    await asyncio.sleep(0)
    await storage.close()
    await asyncio.gather(*calls)
    with pytest.raises(StorageConnectionError, match="connection error: load_traces: this storage is closed"):
        await storage.load_traces(1)
    assert not await storage.is_healthy()
    await storage.close()
    async with open_storage(url) as again:
        assert len(await again.load_traces(99)) == 10


async def test_switch_to_sends_later_calls_to_the_new_backend_and_returns_the_old_one(url: str) -> None:
    async with open_storage(url) as storage:
        view = storage.for_tenant("a")
        await view.save_trace(sample(TraceRow, "a"))
        under_way = asyncio.create_task(storage.save_many(sample(TraceRow, trace_id=n) for n in range(2000)))
        await asyncio.sleep(0)
        old = storage.switch_to(InMemoryBackend())
        assert await view.load_traces(1) == []
        assert await storage.load_traces(1) == []
        await under_way
        assert len(await old.load_traces(9999)) == 2000
        storage.switch_to(old)
        assert await view.load_traces(1) == [sample(TraceRow, "a")]
        async with storage.for_tenant("a").transaction() as transaction:
            assert await transaction.load_traces(9) == [sample(TraceRow, "a")]


async def test_a_storage_belongs_to_its_event_loop(repository: SqlRepository) -> None:
    await repository.load_traces(1)
    errors: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(repository.load_traces(1))
        except StorageConnectionError as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "belongs to another event loop" in str(errors[0])
