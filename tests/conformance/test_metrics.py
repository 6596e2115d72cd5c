"""Metrics: durations of calls, the state of pools and of the queue, retries and refusals."""

import asyncio
import gc
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from axon_storage import (
    EventRow,
    QueryError,
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    StorageStats,
    create_engine,
    open_storage,
)
from axon_storage.dialects import dialect_of
from axon_storage.engine.executor import Executor
from axon_storage.model.stats import CallStats
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import CALLS, appends
from tests.telemetry import PORTS, Telemetry, database_attributes

POOL = "db.client.connection.pool.name"


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def pool_name(engine: AsyncEngine) -> str:
    url, title = engine.url, dialect_of(engine.dialect).title
    return f"{url.host}:{url.port or PORTS[title]}/{url.database or ''}" if url.host else str(url.database)


def metric_attributes(engine: AsyncEngine) -> dict[str, Any]:
    found = database_attributes(dialect_of(engine.dialect), engine.url)
    found.pop("oracle.db.service", None)
    return found


def _counters(stats: StorageStats) -> CallStats:
    assert stats.calls is not None
    return stats.calls


async def test_the_duration_of_each_call_is_recorded(engine: AsyncEngine, telemetry: Telemetry) -> None:
    storage = SqlRepository(engine, **telemetry.options)
    for _ in range(3):
        await storage.load_sessions("name")
    async with storage.transaction() as transaction:
        await transaction.save_session(sample(SessionRow))
    common, table = metric_attributes(engine), {"db.collection.name": "sessions"}
    found = {str(each["db.operation.name"]): each for each, _ in telemetry.points("db.client.operation.duration")}
    assert found == {
        "load_sessions": common | table | {"db.operation.name": "load_sessions"},
        "save_session": common | table | {"db.operation.name": "save_session"},
        "BEGIN": common | {"db.operation.name": "BEGIN"},
        "COMMIT": common | {"db.operation.name": "COMMIT"},
    }
    assert telemetry.total("db.client.operation.duration", db__operation__name="load_sessions") == 3
    [(_, point)] = [
        each
        for each in telemetry.points("db.client.operation.duration")
        if each[0]["db.operation.name"] == "load_sessions"
    ]
    spans = telemetry.named("load_sessions")
    lengths = [((span.end_time or 0) - (span.start_time or 0)) / 1e9 for span in spans]
    assert point.sum == pytest.approx(sum(lengths), rel=0.5, abs=0.01)


async def test_a_failed_call_is_recorded_with_its_error(url: str, telemetry: Telemetry) -> None:
    async with open_storage(url, **telemetry.options) as storage:
        await storage.close()
        with pytest.raises(StorageConnectionError, match="closed"):
            await storage.load_traces(1)
    assert telemetry.total("db.client.operation.duration", error__type="ClosedError") == 1


async def test_the_size_of_group_commits_and_the_wait_in_the_queue(engine: AsyncEngine, telemetry: Telemetry) -> None:
    storage = SqlRepository(engine, **telemetry.options)
    await asyncio.gather(*appends(storage, range(CALLS)))
    batches = telemetry.group_commits()
    [(attributes, sizes)] = telemetry.points("axon_storage.group_commit.size")
    assert attributes == metric_attributes(engine)
    assert (sizes.count, sizes.sum) == (len(batches), CALLS - 1)
    [(attributes, waits)] = telemetry.points("axon_storage.group_commit.queue.wait")
    assert attributes == metric_attributes(engine)
    assert waits.count == len(batches)
    assert waits.min > 0
    calls = _counters(await storage.stats())
    assert (calls.group_commits, calls.grouped_writes, calls.grouped_rows) == (len(batches), CALLS - 1, CALLS - 1)
    assert calls.calls == CALLS + 1


async def test_the_state_of_the_queue(engine: AsyncEngine, telemetry: Telemetry) -> None:
    storage = SqlRepository(engine, **telemetry.options)
    async with storage.transaction() as transaction:
        await transaction.save_session(sample(SessionRow))
        writes = [asyncio.create_task(storage.save_session(sample(SessionRow, value="x"))) for _ in range(40)]
        async with asyncio.timeout(10):
            while telemetry.total("axon_storage.group_commit.queue.rows") < 30:  # noqa: ASYNC110  # a count has no event
                await asyncio.sleep(0.05)
        queue = storage.group_commit.queue
        for metric in ("rows", "bytes"):
            found = {
                str(each["axon_storage.group_commit.queue.state"]): point.value
                for each, point in telemetry.points(f"axon_storage.group_commit.queue.{metric}")
            }
            capacities = {"ready": queue.ready_capacity, "blocked": queue.blocked_capacity}
            assert found == {state: getattr(capacity, metric) for state, capacity in capacities.items()}
    await asyncio.gather(*writes)
    assert telemetry.total("axon_storage.group_commit.queue.rows") == 0


async def test_the_state_of_both_pools(url: str, telemetry: Telemetry) -> None:
    engine = create_engine(url, pool_size=3, max_overflow=1)
    async with SqlRepository(engine, **telemetry.options) as storage:
        await asyncio.gather(*appends(storage, range(CALLS)))
        name = pool_name(engine)
        pools = {name} if dialect_of(engine.dialect).serial_writes else {name, f"{name} group commit"}
        for metric in ("count", "max", "pending_requests", "wait_time"):
            assert {each[POOL] for each, _ in telemetry.points(f"db.client.connection.{metric}")} == pools
        maximum = {each[POOL]: point.value for each, point in telemetry.points("db.client.connection.max")}
        assert maximum == {name: 4} | ({} if len(pools) == 1 else {f"{name} group commit": 2})
        async with storage.transaction():
            used = telemetry.total("db.client.connection.count", **{POOL: name, "db.client.connection.state": "used"})
            assert used == 1
        idle = telemetry.total("db.client.connection.count", **{POOL: name, "db.client.connection.state": "idle"})
        assert idle >= 1
    assert telemetry.points("db.client.connection.count") == []  # it is closed
    assert telemetry.points("axon_storage.group_commit.queue.rows") == []


async def test_calls_that_wait_for_a_connection_and_get_none(url: str, telemetry: Telemetry) -> None:
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.5)
    async with SqlRepository(engine, **telemetry.options) as storage:
        async with storage.transaction():
            waiting = asyncio.create_task(storage.load_traces(1))
            await asyncio.sleep(0.1)
            assert telemetry.total("db.client.connection.pending_requests", **{POOL: pool_name(engine)}) == 1
            with pytest.raises(StorageConnectionError, match="pool_timeout"):
                await waiting
        assert telemetry.total("db.client.connection.pending_requests") == 0
        assert telemetry.total("db.client.connection.timeouts", **{POOL: pool_name(engine)}) == 1
        assert telemetry.total("db.client.operation.duration", error__type="BusyError") == 1
        assert _counters(await storage.stats()).pool_timeouts == 1


async def test_an_event_that_is_too_old_is_a_late_rollback(
    engine: AsyncEngine, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = SqlRepository(engine, **telemetry.options)
    await storage.load_traces(1)
    monkeypatch.setattr(Executor, "append_horizon", 0.0)
    with pytest.raises(QueryError, match="cannot be committed"):
        async with storage.transaction() as transaction:
            await transaction.append_event(sample(EventRow))
    [(attributes, point)] = telemetry.points("axon_storage.late_rollbacks")
    assert (attributes["db.operation.name"], point.value) == ("COMMIT", 1)
    assert telemetry.points("axon_storage.refused_rows") == []
    calls = _counters(await storage.stats())
    assert (calls.late_rollbacks, calls.refused_rows, calls.errors, calls.transactions) == (1, 0, 1, 1)


async def test_two_storages_of_an_engine_count_its_pool_once(engine: AsyncEngine, telemetry: Telemetry) -> None:
    storages = [SqlRepository(engine, **telemetry.options) for _ in range(2)]
    for storage in storages:
        await storage.load_traces(1)
    state = {POOL: pool_name(engine), "db.client.connection.state": "used"}
    async with storages[0].transaction():
        assert telemetry.total("db.client.connection.count", **state) == 1
    del storages, storage
    gc.collect()
    assert telemetry.points("db.client.connection.count") == []  # a storage that is gone is not measured


async def test_the_name_of_an_engines_pool_is_used(url: str, telemetry: Telemetry) -> None:
    engine = create_engine(url)
    engine.sync_engine.pool.logging_name = "agents"
    async with SqlRepository(engine, **telemetry.options) as storage:
        await storage.load_traces(1)
        assert {each[POOL] for each, _ in telemetry.points("db.client.connection.wait_time")} == {"agents"}


async def test_the_maximum_of_an_applications_engine_is_not_known(engine: AsyncEngine, telemetry: Telemetry) -> None:
    made = create_async_engine(engine.url)
    async with SqlRepository(made, **telemetry.options) as storage:
        await storage.is_healthy()
        assert telemetry.points("db.client.connection.max") == []
        assert len(telemetry.points("db.client.connection.count")) == 2
