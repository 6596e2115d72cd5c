"""Every call ends within its time-out, and its error says what it waited for."""

import asyncio
from pathlib import Path

import pytest

from axon_storage import EventRow, QueryError, StorageConnectionError, TraceRow, open_storage, operation_timeout
from axon_storage.testing.samples import sample
from tests.faults.proxy import storage_through_proxy


async def test_a_call_to_a_server_that_no_longer_answers_times_out(url: str) -> None:
    async with storage_through_proxy(url, operation_timeout=0.5) as (proxy, storage):
        await storage.save_trace(sample(TraceRow))
        proxy.flows.clear()
        with pytest.raises(StorageConnectionError, match=r"load_traces: not done within 0\.5 s") as late:
            await storage.load_traces(1)
        assert late.value.transient
        proxy.cut()
        proxy.flows.set()
        assert await storage.load_traces(1) == [sample(TraceRow)]


async def test_a_call_inside_a_transaction_times_out(url: str) -> None:
    async with storage_through_proxy(url) as (proxy, storage):
        with pytest.raises(StorageConnectionError, match=r"append_event: not done .* for the database$"):
            async with storage.transaction() as transaction:
                await transaction.save_trace(sample(TraceRow))
                proxy.flows.clear()
                with operation_timeout(0.3):
                    await transaction.append_event(sample(EventRow))
        proxy.cut()
        proxy.flows.set()
        assert await storage.load_traces(1) == []


async def test_a_commit_that_is_answered_shortly_after_the_time_out_is_no_error(url: str) -> None:
    async with storage_through_proxy(url) as (proxy, storage):
        with operation_timeout(0.5):
            async with storage.transaction() as transaction:
                await transaction.save_trace(sample(TraceRow))
                proxy.flows.clear()
                asyncio.get_running_loop().call_later(1, proxy.flows.set)
        assert await storage.load_traces(1) == [sample(TraceRow)]


async def test_is_healthy_returns_even_if_the_server_no_longer_answers(url: str) -> None:
    async with storage_through_proxy(url) as (proxy, storage):
        assert await storage.is_healthy()
        proxy.flows.clear()
        assert not await asyncio.wait_for(storage.is_healthy(), 30)
        proxy.cut()
        proxy.flows.set()
        assert await storage.is_healthy()


async def test_a_call_that_times_out_waiting_for_a_connection_says_so(url: str) -> None:
    async with open_storage(url, migrate=False, pool_size=1, max_overflow=0) as storage:
        async with storage.transaction() as transaction:
            await transaction.load_traces(1)
            with (
                operation_timeout(0.2),
                pytest.raises(StorageConnectionError, match=r"load_daemons: not done .* for a connection$"),
            ):
                await storage.load_daemons()
        assert await storage.load_daemons() == []


async def test_a_call_that_times_out_waiting_for_other_writers_of_a_sqlite_file_says_so(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/agents.db") as storage:
        async with storage.transaction() as transaction:
            await transaction.save_trace(sample(TraceRow))
            with (
                operation_timeout(0.2),
                pytest.raises(StorageConnectionError, match=r"not done .* for this process.s other writers$"),
            ):
                await asyncio.create_task(storage.save_trace(sample(TraceRow)))
        assert await storage.load_traces(9) == [sample(TraceRow)]


async def test_operation_timeout_applies_only_to_the_calls_and_tasks_inside_its_block(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/agents.db", operation_timeout=1e-9) as storage:
        with pytest.raises(StorageConnectionError, match="not done within 1e-09 s"):
            await storage.load_daemons()
        with operation_timeout(30):
            assert await asyncio.create_task(storage.load_daemons()) == []
        with pytest.raises(StorageConnectionError, match="not done within"):
            await storage.load_daemons()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
async def test_a_time_out_or_number_of_attempts_that_is_not_positive_is_refused(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(ValueError, match="a timeout must be more than 0 seconds"), operation_timeout(seconds):
        pass
    for options in ({"operation_timeout": seconds}, {"retry_deadline": seconds}):
        with pytest.raises(ValueError, match="a timeout must be more than 0 seconds"):
            async with open_storage(f"sqlite:///{tmp_path}/agents.db", **options):  # type: ignore[arg-type]  # floats
                pass
    with pytest.raises(ValueError, match="at least one attempt"):
        async with open_storage(f"sqlite:///{tmp_path}/agents.db", retry_attempts=0):
            pass


async def test_close_returns_even_if_the_server_no_longer_answers(url: str) -> None:
    async with storage_through_proxy(url) as (proxy, storage):
        await storage.load_daemons()
        proxy.flows.clear()
    with pytest.raises((StorageConnectionError, QueryError), match="this storage is closed"):
        await storage.load_daemons()
