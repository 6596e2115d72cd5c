"""One run at a time prunes a table; ids that were pruned are refused; so are bad arguments."""

import asyncio
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    EventRow,
    InMemoryBackend,
    InvalidArgumentError,
    QueryError,
    Row,
    SqlRepository,
    StorageBackend,
    StorageConnectionError,
    StorageDispatcher,
    operation_timeout,
)
from axon_storage.model.maintenance import DeleteOld, ReleaseLease, TakeLease
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.pruning import BEFORE, NOW, OLD, OUTSIDE_UTC, fill, prune
from axon_storage.testing.suite.pruned_ids import *  # noqa: F403
from axon_storage.testing.verbs import load
from tests.pruning import clock_at

pytestmark = pytest.mark.needs_role("app+maintenance", reason="it prunes")


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StorageBackend, "prune_rows", 5)


def _take(holder: UUID, tenant: str = "default") -> TakeLease:
    return TakeLease(operation="t", tenant=tenant, row_type=EventRow, holder=holder, before=None)


async def test_two_runs_take_turns_and_their_counts_add_up(storage: StorageBackend, past: StorageBackend) -> None:
    await fill(past, EventRow, range(30))
    counts = await asyncio.gather(*(storage.prune_events(BEFORE) for _ in range(3)))
    assert sum(counts) == 30


async def test_a_run_waits_for_the_other_and_then_says_what_holds_it_up(
    storage: StorageBackend, past: StorageBackend
) -> None:
    await fill(past, EventRow, range(3))
    await fill(past, AuditRow, range(3))
    holder, tenant = uuid4(), storage.current_tenant()
    await storage.execute(_take(holder, tenant))
    with operation_timeout(0.5), pytest.raises(StorageConnectionError, match="prunes event_history until") as refused:
        await storage.prune_events(BEFORE)
    assert refused.value.transient
    assert await storage.prune_events(BEFORE, dry_run=True) == 3  # a count needs no lease
    assert await storage.prune_audit(BEFORE) == 3  # another table
    waiting = asyncio.create_task(storage.prune_events(BEFORE))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await storage.execute(ReleaseLease(operation="t", tenant=tenant, row_type=EventRow, holder=holder))
    assert await waiting == 3


async def test_the_lease_of_a_run_that_died_ends_by_itself(repository: SqlRepository, engine: AsyncEngine) -> None:
    await fill(SqlRepository(engine, clock=clock_at(OLD)), EventRow, range(3))
    await repository.execute(_take(uuid4()))
    soon = SqlRepository(engine, clock=clock_at(datetime.now(UTC) + timedelta(seconds=14)))
    with operation_timeout(0.5), pytest.raises(StorageConnectionError):
        await soon.prune_events(BEFORE)
    later = SqlRepository(engine, clock=clock_at(datetime.now(UTC) + timedelta(seconds=16)))
    with operation_timeout(5):
        assert await later.prune_events(BEFORE) == 3


async def test_a_run_that_has_lost_its_lease_stops(
    repository: SqlRepository, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(SqlRepository(engine, clock=clock_at(OLD)), EventRow, range(12))
    later = SqlRepository(engine, clock=clock_at(datetime.now(UTC) + timedelta(minutes=1)))
    deletes = 0
    execute = repository.execute

    async def stall(request: Any) -> Any:
        nonlocal deletes
        if isinstance(request, DeleteOld):
            deletes += 1
            if deletes == 2:
                await later.execute(_take(uuid4()))
        return await execute(request)

    monkeypatch.setattr(repository, "execute", stall)
    with pytest.raises(StorageConnectionError, match="another run began") as stopped:
        await repository.prune_events(BEFORE)
    assert stopped.value.transient
    assert len(await load(repository, EventRow)) == 7


async def test_a_cancelled_run_releases_its_lease_and_the_next_one_goes_on(
    storage: StorageBackend, past: StorageBackend
) -> None:
    await fill(past, EventRow, range(30))
    run = asyncio.create_task(storage.prune_events(BEFORE, pause=0.05))
    while len(await load(storage, EventRow)) == 30:  # noqa: ASYNC110  # counts
        await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    left = len(await load(storage, EventRow))
    assert 0 < left < 30
    with operation_timeout(5):
        assert await storage.prune_events(BEFORE) == left


# Arguments.


@pytest.fixture
async def any_storage(repository: SqlRepository) -> list[StorageBackend]:
    return [repository, StorageDispatcher(repository), repository.for_tenant("a"), InMemoryBackend()]


async def test_bad_arguments_are_refused(any_storage: list[StorageBackend]) -> None:
    for storage in any_storage:
        for before in (datetime(2026, 1, 1), 5, None):  # refused
            with pytest.raises(InvalidArgumentError, match="prune_events: before must be a datetime with a time zone"):
                await storage.prune_events(before)  # type: ignore[arg-type]
        for before in OUTSIDE_UTC:
            with pytest.raises(InvalidArgumentError, match="prune_sessions: before must be from the year 1 to"):
                await storage.prune_sessions(before, dry_run=True)
        with pytest.raises(InvalidArgumentError, match="prune_events: dry_run must be True or False"):
            await storage.prune_events(NOW, dry_run="no")  # type: ignore[arg-type]
        for pause in (-1.0, inf, "1"):
            with pytest.raises(InvalidArgumentError, match="pause must be"):
                await storage.prune_sessions(NOW, pause=pause)  # type: ignore[arg-type]


@pytest.mark.parametrize("row_type", ROW_TYPES, ids=lambda row_type: row_type.TABLE)
async def test_a_transaction_refuses_to_prune(any_storage: list[StorageBackend], row_type: type[Row]) -> None:
    for storage in any_storage:
        assert await prune(storage, row_type, BEFORE) == 0
        for dry_run in (True, False):
            async with storage.transaction() as transaction:
                with pytest.raises(QueryError, match="call it on the storage"):
                    await prune(transaction, row_type, BEFORE, dry_run=dry_run)
        async with storage.transaction():
            if not isinstance(storage, InMemoryBackend):
                with pytest.raises(QueryError, match="this task is inside"):
                    await prune(storage, row_type, BEFORE)
