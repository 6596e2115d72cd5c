"""Each step of a transaction() ends within operation_timeout, and its error says what it waited for."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from axon_storage import (
    CacheRow,
    EventRow,
    QueryError,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageConnectionError,
    TraceRow,
    open_storage,
    operation_timeout,
)
from axon_storage.engine.executor import Executor
from axon_storage.testing.samples import sample
from tests.faults.proxy import storage_through_proxy

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Executor, "grace_seconds", 0.5)


async def test_a_commit_that_is_not_answered_times_out_and_the_storage_closes(url: str) -> None:
    async with asyncio.timeout(60), storage_through_proxy(url, operation_timeout=0.5) as (proxy, storage):
        with pytest.raises(StorageConnectionError, match="the answer to COMMIT, which may have been carried out"):
            async with storage.transaction() as transaction:
                await transaction.save_trace(sample(TraceRow))
                proxy.flows.clear()


async def test_a_call_that_waits_for_earlier_calls_of_its_transaction_times_out(url: str) -> None:
    async with open_storage(url, migrate=False) as storage, open_storage(url, migrate=False) as elsewhere:
        async with elsewhere.transaction() as holder:
            await holder.save_session(sample(SessionRow))
            with pytest.raises(
                StorageConnectionError, match=r"not done within 0\.3 s, .* the transaction's earlier calls"
            ):
                async with storage.transaction() as transaction:
                    earlier = asyncio.create_task(transaction.save_session(sample(SessionRow)))
                    await asyncio.sleep(0.1)
                    with operation_timeout(0.3):
                        await transaction.load_daemons()
            await asyncio.wait({earlier})
            assert earlier.exception() is not None  # it was cancelled, because the rollback needs its connection
        assert await storage.load_daemons() == []


async def test_a_transaction_that_has_failed_refuses_calls_at_once(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/agents.db") as storage:
        with pytest.raises(KeyError):
            async with storage.transaction() as transaction:
                raise KeyError
        with pytest.raises(QueryError, match="this transaction is over"):
            await transaction.load_daemons()


async def _opens_in_time(storage: StorageBackend) -> None:
    with operation_timeout(0.2):
        async with storage.transaction():
            pass


async def test_a_transaction_that_waits_for_a_connection_times_out(url: str) -> None:
    storage = open_storage(url, migrate=False, pool_size=1, max_overflow=0)
    async with storage as opened, opened.transaction() as transaction:
        await transaction.load_daemons()
        with pytest.raises(StorageConnectionError, match=r"transaction: not done within 0\.2 s, .* a connection"):
            await asyncio.create_task(_opens_in_time(opened))


async def test_a_transaction_that_waits_for_another_writer_of_a_sqlite_file_times_out(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/agents.db") as storage, storage.transaction() as transaction:
        await transaction.load_daemons()
        with pytest.raises(StorageConnectionError, match=r"transaction: not done within 0\.2 s, .* other writers"):
            await asyncio.create_task(_opens_in_time(storage))


async def test_a_cancelled_is_healthy_does_not_keep_a_storage_from_closing(url: str) -> None:
    async with asyncio.timeout(60), storage_through_proxy(url) as (proxy, storage):
        proxy.flows.clear()
        question = asyncio.create_task(storage.is_healthy())
        await asyncio.sleep(0.2)
        question.cancel()
        await asyncio.wait({question})
        assert question.cancelled()


async def _transaction(storage: StorageBackend) -> None:
    async with storage.transaction() as transaction:
        await transaction.save_trace(sample(TraceRow))


async def _many_saves(storage: StorageBackend) -> None:
    calls = [storage.save_session(sample(SessionRow, key=str(number))) for number in range(9)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, StorageConnectionError) for outcome in outcomes)
    raise StorageConnectionError("not done: all saves have failed")


ON_SQLITE: dict[str, Callable[[StorageBackend], Awaitable[Any]]] = {
    "save": lambda storage: storage.save_session(sample(SessionRow)),
    "append": lambda storage: storage.append_event(sample(EventRow)),
    "evict": lambda storage: storage.evict_expired_cache(),
    "save_many": lambda storage: storage.save_many([sample(EventRow), sample(CacheRow)]),
    "transaction": _transaction,
    "saves in a batch": _many_saves,
}


@pytest.mark.parametrize("call", ON_SQLITE.values(), ids=ON_SQLITE)
@pytest.mark.parametrize("hosts_engine", [False, True])
async def test_a_call_that_waits_for_a_locked_file_times_out_and_is_not_stored_later(
    tmp_path: Path, call: Callable[[StorageBackend], Awaitable[Any]], *, hosts_engine: bool
) -> None:
    file = tmp_path / "agents.db"
    async with open_storage(f"sqlite:///{file}"):
        pass
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        async with _opened(file, hosts_engine=hosts_engine) as storage:
            with operation_timeout(0.2), pytest.raises(StorageConnectionError, match="not done"):
                # the lock is not released: without a time-out of its own the call would wait for 30 seconds
                await asyncio.wait_for(call(storage), 20)
            holder.execute("ROLLBACK")
            await asyncio.sleep(0.3)
            assert await storage.load_traces(9) == []
            assert await storage.load_sessions("name") == []
            assert await storage.query_events(None, 9) == []
            await _transaction(storage)
    finally:
        holder.close()


def _opened(file: Path, *, hosts_engine: bool) -> Any:
    if hosts_engine:
        return SqlRepository(create_async_engine(f"sqlite+aiosqlite:///{file}"))
    return open_storage(f"sqlite:///{file}")
