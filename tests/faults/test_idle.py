"""The server closed a connection that was idle in the pool: a block, which is never run again, does not meet it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SessionRow, SqlRepository, StorageConnectionError, create_engine
from axon_storage.engine.retry import Retry
from tests.databases import Databases
from tests.samples import sample

_MYSQL = ("CONNECTION_ID()", "SELECT id FROM information_schema.processlist WHERE id = {}", "KILL {}")
_POSTGRESQL = (
    "pg_backend_pid()",
    "SELECT pid FROM pg_stat_activity WHERE pid = {}",
    "SELECT pg_terminate_backend({})",
)


@pytest.fixture(params=["postgresql", "mariadb", "mysql", "mariadb-asyncmy", "mysql-asyncmy"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def others(databases: Databases, target: str) -> AsyncEngine:
    return (await databases.ready(target))[1]


@pytest.fixture
async def one(url: str, others: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """An engine of one connection, beside the emptied tables."""
    del others
    made = create_engine(url, pool_size=1, max_overflow=0)
    yield made
    await made.dispose()


async def test_a_block_works_after_the_server_has_closed_the_idle_connection(
    target: str, one: AsyncEngine, others: AsyncEngine
) -> None:
    name, _, end = _POSTGRESQL if target == "postgresql" else _MYSQL
    for _ in range(3):
        async with one.connect() as connection:
            session = (await connection.execute(text(f"SELECT {name}"))).scalar_one()
        async with others.begin() as connection:
            await connection.execute(text(end.format(session)))
        await _ended(target, others, session)
        await _works_at_once(one)


@pytest.mark.parametrize("target", ["mariadb", "mysql", "mariadb-asyncmy", "mysql-asyncmy"])
async def test_a_block_works_after_the_connection_was_idle_for_longer_than_the_server_waits(
    target: str, one: AsyncEngine, others: AsyncEngine
) -> None:
    async with one.connect() as connection:
        session = (await connection.execute(text("SELECT CONNECTION_ID()"))).scalar_one()
        await connection.execute(text("SET SESSION wait_timeout = 1"))
    await _ended(target, others, session)
    await _works_at_once(one)


async def test_a_server_that_closes_every_new_connection_is_a_transient_failure(one: AsyncEngine) -> None:
    event.listen(one.sync_engine, "connect", lambda connection, _record: connection.terminate())
    storage = SqlRepository(one, retry=Retry(attempts=1))
    with pytest.raises(StorageConnectionError, match="the server closed a new connection") as failure:
        async with storage.transaction():
            pass
    assert failure.value.transient


async def _works_at_once(engine: AsyncEngine) -> None:
    storage = SqlRepository(engine, retry=Retry(attempts=1))
    async with storage.transaction() as block:
        await block.save_session(sample(SessionRow))
    assert await storage.load_sessions("name") == [sample(SessionRow)]


async def _ended(target: str, engine: AsyncEngine, session: int) -> None:
    """Wait until the server has no such session."""
    query = (_POSTGRESQL if target == "postgresql" else _MYSQL)[1].format(session)
    while True:
        async with engine.begin() as connection:
            if (await connection.execute(text(query))).first() is None:
                break
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.1)  # for its last word to arrive
