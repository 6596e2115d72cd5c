"""Retries after transient failures: saves, appends and deletes are retried as a whole, a transaction() never is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import event

from axon_storage import (
    EventRow,
    QueryError,
    Retry,
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    StorageDispatcher,
    create_engine,
)
from axon_storage.testing.samples import sample
from tests.databases import Databases
from tests.faults.proxy import Proxy, storage_through_proxy

REFUSING = "postgresql://user:password@127.0.0.1:1/nowhere"
"""A port on which no server listens: connecting is a transient failure."""


@asynccontextmanager
async def one_fault(url: str) -> AsyncIterator[tuple[Proxy, StorageDispatcher]]:
    """A storage behind a proxy, and a check that the proxy has injected one fault."""
    async with storage_through_proxy(url) as (proxy, storage):
        yield proxy, storage
    assert proxy.injected.total() == 1


@pytest.mark.parametrize("fault", ["before", "inside", "after"])
async def test_saves_and_appends_are_retried_and_stored_once(url: str, fault: str) -> None:
    async with one_fault(url) as (proxy, storage):
        proxy.once(fault)
        await storage.save_many([sample(EventRow), sample(SessionRow, value="new")])
        assert await storage.query_events(None, 9) == [sample(EventRow)]
        assert await storage.load_sessions("name") == [sample(SessionRow, value="new")]


@pytest.mark.parametrize("fault", ["before", "inside"])
async def test_a_delete_whose_commit_never_arrived_is_retried(url: str, fault: str) -> None:
    async with one_fault(url) as (proxy, storage):
        await storage.save_session(sample(SessionRow))
        proxy.once(fault)
        assert await storage.delete_session("name", "name") is True
        assert await storage.load_sessions("name") == []


async def test_a_delete_whose_answer_was_lost_returns_the_result_of_its_last_attempt(url: str) -> None:
    async with one_fault(url) as (proxy, storage):
        await storage.save_session(sample(SessionRow))
        proxy.once("after")
        assert await storage.delete_session("name", "name") is False
        assert await storage.load_sessions("name") == []


async def test_a_create_whose_answer_was_lost_returns_the_result_of_its_last_attempt(url: str) -> None:
    async with one_fault(url) as (proxy, storage):
        proxy.once("after")
        assert await storage.create(sample(SessionRow)) is False
        assert await storage.load_sessions("name") == [sample(SessionRow)]


async def test_a_create_whose_commit_never_arrived_is_retried(url: str) -> None:
    async with one_fault(url) as (proxy, storage):
        proxy.once("before")
        assert await storage.create(sample(SessionRow)) is True
        assert await storage.load_sessions("name") == [sample(SessionRow)]


@pytest.mark.parametrize(("fault", "stored"), [("before", 0), ("after", 1)])
async def test_a_transaction_is_not_retried(url: str, fault: str, stored: int) -> None:
    async with one_fault(url) as (proxy, storage):
        runs = 0
        with pytest.raises(StorageConnectionError) as lost:
            async with storage.transaction() as transaction:
                runs += 1
                await transaction.append_event(sample(EventRow))
                proxy.once(fault)
        assert lost.value.transient
        assert runs == 1
        assert len(await storage.query_events(None, 9)) == stored


async def test_the_first_call_of_a_transaction_is_retried_and_no_later_one(url: str) -> None:
    async with one_fault(url) as (proxy, storage):
        async with storage.transaction() as transaction:
            proxy.cut()
            await transaction.append_event(sample(EventRow))
        with pytest.raises(StorageConnectionError) as lost:
            async with storage.transaction() as transaction:
                await transaction.append_event(sample(EventRow))
                proxy.cut()
                proxy.injected["cut anywhere"] += 1
                await transaction.append_event(sample(EventRow))
        assert lost.value.transient
        assert await storage.query_events(None, 9) == [sample(EventRow)]


async def _attempts(storage: SqlRepository) -> int:
    """Return how often a call tries to connect before it fails."""
    attempts: list[object] = []
    event.listen(storage.engine.sync_engine, "do_connect", lambda *arguments: attempts.append(arguments))
    async with storage:
        with pytest.raises(StorageConnectionError) as refused:
            await storage.load_daemons()
    assert refused.value.transient
    return len(attempts)


@pytest.mark.parametrize("target", ["postgresql"])
@pytest.mark.parametrize("attempts", [1, 3])
async def test_a_call_makes_at_most_retry_attempts_attempts(target: str, attempts: int) -> None:
    del target
    assert await _attempts(SqlRepository(create_engine(REFUSING), retry=Retry(attempts=attempts))) == attempts


@pytest.mark.parametrize("target", ["postgresql"])
async def test_no_attempt_begins_after_the_retry_deadline(target: str) -> None:
    del target
    assert await _attempts(SqlRepository(create_engine(REFUSING), retry=Retry(deadline=1e-9))) == 1


@pytest.mark.parametrize("target", ["postgresql"])
async def test_all_attempts_together_end_within_the_time_out(target: str) -> None:
    del target
    retry = Retry(attempts=10**6, deadline=3600)
    async with SqlRepository(create_engine(REFUSING), retry=retry, operation_timeout=0.5) as storage:
        with pytest.raises(StorageConnectionError, match=r"load_daemons: not done within 0\.5 s"):
            await storage.load_daemons()


async def test_a_permanent_failure_is_not_retried(databases: Databases, target: str) -> None:
    engine, sent = create_engine(await databases.empty(target)), list[str]()

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "daemons" in statement:
            sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    async with SqlRepository(engine) as storage:
        with pytest.raises(QueryError) as refused:  # there is no such table
            await storage.load_daemons()
    assert not refused.value.transient
    assert len(sent) == 1
