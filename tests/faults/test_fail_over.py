"""After a fail-over the whole pool is given up at the first answer of the old server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import Pool
from sqlalchemy.util import greenlet_spawn

from axon_storage import Retry, SessionRow, SqlRepository, StorageConnectionError, StorageError, create_engine
from axon_storage.engine.executor import Executor
from axon_storage.engine.generation import Generation
from axon_storage.engine.group_pool import group_pool_of
from axon_storage.sql.unit_of_work import UnitOfWork
from axon_storage.testing.samples import sample

POOL, GROUP = 15, 2
READ_ONLY = {"postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"}
READ_ONLY_IN_MYSQL = "SET SESSION TRANSACTION READ ONLY"
"""A session whose server became read-only answers 25006, and 1290 or 1836. This answers 25006, and 1792."""


@pytest.fixture(params=["postgresql", "mariadb", "mysql", "mariadb-asyncmy"])
def target(request: pytest.FixtureRequest) -> str:
    """Not the Oracle double, which has no answer of a read-only server."""
    return str(request.param)


@pytest.fixture
async def full(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(url, pool_size=POOL)
    yield engine
    await engine.dispose()


def _make_read_only(pool: Pool, target: str, count: int) -> None:
    """Open ``count`` connections of a pool, and return them as those of a server that has become read-only."""
    held = [pool.connect() for _ in range(count)]
    for connection in held:
        cursor = connection.cursor()
        cursor.execute(READ_ONLY.get(target, READ_ONLY_IN_MYSQL))
        cursor.close()
        connection.commit()
    for connection in held:
        connection.close()


async def _fail_over(engine: AsyncEngine, target: str) -> None:
    """Make all connections of the engine's pools read-only. New connections can write."""
    group_pool = group_pool_of(engine.sync_engine)
    assert group_pool is not None
    for pool, count in ((engine.sync_engine.pool, POOL), (group_pool, GROUP)):
        await greenlet_spawn(_make_read_only, pool, target, count)


async def _save_at_once(storage: SqlRepository, count: int) -> None:
    await asyncio.gather(*(storage.save_session(sample(SessionRow, key=f"{n}")) for n in range(count)))


async def _hold(storage: SqlRepository, key: int) -> None:
    async with storage.transaction() as transaction:
        await transaction.save_session(sample(SessionRow, scope="held", key=f"{key}"))


async def _retries(storage: SqlRepository) -> int:
    calls = (await storage.stats()).calls
    assert calls is not None
    return calls.retries


async def test_a_lone_call_meets_one_stale_connection_of_a_full_pool(full: AsyncEngine, target: str) -> None:
    storage = SqlRepository(full)
    await _save_at_once(storage, 20)
    before = await _retries(storage)
    await _fail_over(full, target)
    await storage.save_session(sample(SessionRow, key="lone"))
    assert await _retries(storage) == before + 1
    await _save_at_once(storage, 20)  # on connections of the group commits, which were given up too
    await asyncio.gather(*(_hold(storage, key) for key in range(POOL)))  # on all connections of the pool
    assert await _retries(storage) == before + 1


async def test_a_server_that_stays_read_only_does_not_cost_the_reads_their_connections(
    full: AsyncEngine, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generation, "shortest_seconds", 3600)
    storage = SqlRepository(full, retry=Retry(attempts=1))
    made: list[None] = []
    await _save_at_once(storage, 20)
    await _fail_over(full, target)
    event.listen(full.sync_engine, "connect", lambda *_: made.append(None))
    for _ in range(4):
        await greenlet_spawn(_make_read_only, full.sync_engine.pool, target, POOL)
        with pytest.raises(StorageError):
            await storage.save_session(sample(SessionRow))
    await greenlet_spawn(_make_read_only, full.sync_engine.pool, target, POOL)
    assert len(made) == POOL + 3  # all of them once, then those that have answered a save


async def test_a_lost_connection_ends_those_of_group_commits(full: AsyncEngine, target: str) -> None:
    await _save_at_once(SqlRepository(full), 20)
    await _fail_over(full, target)
    with pytest.raises(StorageConnectionError):
        await Executor(full, retry=Retry(attempts=1)).run("probe", UnitOfWork(_end_session, writes=False))
    group_pool, made = group_pool_of(full.sync_engine), list[None]()
    assert group_pool is not None
    event.listen(group_pool, "connect", lambda *_: made.append(None))
    await greenlet_spawn(_make_read_only, group_pool, target, GROUP)
    assert len(made) == GROUP


def _end_session(connection: Connection) -> None:
    """Let the server end the session of a connection while it runs a statement."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    else:
        try:
            connection.execute(text(f"KILL {connection.scalar(text('SELECT connection_id()'))}"))
        except DBAPIError:  # on MySQL it says only that the statement was interrupted
            if connection.invalidated:
                raise
    connection.execute(text("SELECT 1"))
