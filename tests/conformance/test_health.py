"""health(): a reason for each state in which calls fail or wait, on each database."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from axon_storage import (
    Health,
    HealthReasonName,
    InMemoryBackend,
    LoopLocal,
    SqlRepository,
    StorageBackend,
    StorageDispatcher,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.engine.health import HealthCheck
from axon_storage.sql.tables import VERSION_TABLE
from axon_storage.testing.suite.health import *  # noqa: F403
from tests.conformance.concurrent_writes import CALLS, appends, sources
from tests.databases import Databases


def names(health: Health) -> list[str]:
    return [reason.name.value for reason in health.reasons]


async def checked(storage: StorageBackend, *, healthy: bool) -> Health:
    """Return the health of a storage, whose parts must agree with each other and with is_healthy()."""
    health = await storage.health()
    assert health.healthy == await storage.is_healthy() == healthy
    assert healthy or not health.ready
    return health


@pytest.mark.needs_role("owner", reason="it migrates")
async def test_each_state_of_the_schema_has_a_reason(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    engine = create_engine(url)
    async with SqlRepository(engine) as storage:
        missing = await checked(storage, healthy=False)
        assert names(missing) == ["no_schema"]
        assert f"revision {schema.head()} is needed" in str(missing.reasons[0])
        await schema.upgrade(engine, "0001")
        behind = await checked(storage, healthy=False)
        assert names(behind) == ["schema_behind"]
        assert f"at revision 0001, revision {schema.head()} is needed" in str(behind.reasons[0])
        await schema.upgrade(engine)
        assert names(await checked(storage, healthy=True)) == []
        for revision in ("9999", "f00d"):
            async with engine.begin() as connection:
                await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'"))
            ahead = await checked(storage, healthy=True)
            assert ahead.ready
            assert names(ahead) == ["schema_ahead"]
            assert f"at revision {revision}" in str(ahead.reasons[0])


async def test_an_unreachable_database_is_a_reason_without_the_password(url: str, target: str) -> None:
    nowhere = make_url("sqlite:////nowhere/at/all.db") if target == "sqlite" else make_url(url).set(port=1)
    if target != "sqlite":
        nowhere = nowhere.set(password="not-the-secret")
    async with SqlRepository(create_engine(nowhere)) as storage:
        health = await checked(storage, healthy=False)
    assert names(health) == ["unreachable"]
    assert health.reasons[0].message
    assert "not-the-secret" not in repr(health)


@pytest.mark.not_on("sqlite", "a file has no password")
async def test_a_wrong_password_is_a_reason_that_does_not_show_it(url: str) -> None:
    async with SqlRepository(create_engine(make_url(url).set(password="not-the-secret"))) as storage:
        health = await checked(storage, healthy=False)
    assert names(health) == ["unreachable"]
    assert "not-the-secret" not in repr(health)


@pytest.mark.needs_role("owner", reason="it needs a database without a schema")
async def test_a_refused_query_is_a_reason(databases: Databases, target: str) -> None:
    engine = create_engine(await databases.empty(target))
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {VERSION_TABLE} (another_column INTEGER)"))
    async with SqlRepository(engine) as storage:
        assert names(await checked(storage, healthy=False)) == ["check_failed"]


async def test_a_closed_storage_says_so(url: str) -> None:
    storage = await StorageDispatcher.from_url(url)
    await storage.load_traces(1)
    await storage.close()
    assert names(await checked(storage, healthy=False)) == ["closed"]


async def test_an_exhausted_pool_is_a_reason_against_further_calls_only(url: str) -> None:
    async with open_storage(url, pool_size=1, max_overflow=0) as storage:
        async with storage.transaction() as transaction:
            await transaction.load_traces(1)
            for each in (storage, transaction):
                busy = await checked(each, healthy=True)
                assert not busy.ready
                assert names(busy) == ["pool_exhausted"]
        assert names(await storage.health()) == []


async def test_a_pool_that_may_open_more_connections_is_not_exhausted(url: str) -> None:
    engine = create_engine(url, pool_size=1, max_overflow=1)
    async with SqlRepository(engine) as storage, AsyncExitStack() as held:
        await storage.load_traces(1)
        for expected in ([], ["pool_exhausted"]):
            await held.enter_async_context(engine.connect())
            assert names(await storage.health()) == expected


async def test_a_pool_without_a_size_is_never_exhausted(url: str) -> None:
    async with SqlRepository(create_async_engine(create_engine(url).url, poolclass=NullPool)) as storage:
        assert names(await storage.health()) == []


async def test_a_short_pool_timeout_is_an_exhausted_pool_too(url: str) -> None:
    async with open_storage(url, pool_size=1, max_overflow=0, pool_timeout=0.05) as storage, storage.transaction():
        busy = await storage.health()
    assert [str(reason) for reason in busy.reasons] == [
        "pool_exhausted: no connection of the pool became free within pool_timeout"
    ]


async def test_a_cancelled_check_of_an_exhausted_pool_takes_no_connection(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HealthCheck, "pool_seconds", 60)
    async with open_storage(url, pool_size=1, max_overflow=0) as storage:
        async with storage.transaction() as transaction:
            await transaction.load_traces(1)
            before = asyncio.all_tasks()
            checks = [asyncio.create_task(storage.health()) for _ in range(4)]
            await asyncio.sleep(0.2)
            for check in checks:
                check.cancel()
            await asyncio.wait(checks)
            assert all(check.cancelled() for check in checks)
            async with asyncio.timeout(20):
                while asyncio.all_tasks() - before:  # noqa: ASYNC110  # that a task has ended is no event
                    await asyncio.sleep(0.01)
        assert await storage.load_traces(1) == []
        pool = (await storage.stats()).pool
        assert pool is not None
        assert pool.in_use == 0


@pytest.mark.parametrize("target", ["sqlite", "postgresql", "mysql"])
async def test_a_check_in_another_event_loop_does_not_use_the_pool(url: str) -> None:
    async with open_storage(url, pool_size=1, max_overflow=0) as storage, storage.transaction() as transaction:
        assert await transaction.load_traces(1) == []
        elsewhere = await asyncio.to_thread(asyncio.run, storage.health())
        assert names(elsewhere) == []


async def test_a_full_queue_is_a_reason_against_further_calls_only(repository: SqlRepository) -> None:
    capacity = repository.group_commit.queue.ready_capacity
    batches, repository.group_commit.max_batches = repository.group_commit.max_batches, 0  # nothing is sent
    roomy, capacity.max_rows = capacity.max_rows, 1
    calls = appends(repository, range(CALLS))
    full = await checked(repository, healthy=True)
    assert not full.ready
    assert names(full) == ["queue_full"]
    capacity.max_rows, repository.group_commit.max_batches = roomy, batches
    calls[-1].cancel()  # which wakes the others
    await asyncio.wait(calls)
    assert names(await repository.health()) == []
    assert await sources(repository) == sorted(map(str, range(CALLS - 1)))


async def test_a_host_applications_engine_has_the_same_reasons(engine: AsyncEngine) -> None:
    storage = SqlRepository(engine)
    await storage.load_traces(1)
    async with AsyncExitStack() as held:
        for _ in range(8 + 40):  # pool_size and max_overflow
            await held.enter_async_context(engine.connect())
        assert names(await storage.health()) == ["pool_exhausted"]
    assert names(await storage.health()) == []


@pytest.mark.needs_role("owner", reason="it migrates")
async def test_a_storage_that_cannot_be_opened_for_this_event_loop_is_not_healthy(
    databases: Databases, target: str
) -> None:
    url = await databases.empty(target)
    storage = LoopLocal(url, migrate=False)
    health = await checked(storage, healthy=False)
    assert names(health) == ["cannot_open"]
    assert "has no schema" in health.reasons[0].message
    await schema.upgrade(url)
    assert names(await checked(storage, healthy=True)) == []
    await storage.close()


@pytest.mark.needs_role("owner", reason="it needs a database without a schema")
async def test_a_dispatcher_has_the_health_of_its_backend(databases: Databases, target: str) -> None:
    async with SqlRepository(create_engine(await databases.empty(target))) as behind:
        storage = StorageDispatcher(behind)
        assert names(await storage.for_tenant("a").health()) == ["no_schema"]
        storage.switch_to(InMemoryBackend())
        assert names(await storage.for_tenant("a").health()) == []


def test_the_names_of_the_reasons_are_stable() -> None:
    assert [name.value for name in HealthReasonName] == [
        *("closed", "cannot_open", "unreachable", "no_schema", "schema_behind", "read_only", "check_failed"),
        *("pool_exhausted", "queue_full"),
        "schema_ahead",
    ]
