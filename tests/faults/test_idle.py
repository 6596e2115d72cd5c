"""The server has closed a connection that was idle in the pool: a transaction, which is not retried, gets another."""

import asyncio

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SessionRow, SqlRepository, StorageConnectionError
from axon_storage.engine.retry import Retry
from axon_storage.testing.samples import sample

_MYSQL = ("CONNECTION_ID()", "SELECT id FROM information_schema.processlist WHERE id = {}", "KILL {}")
_POSTGRESQL = (
    "pg_backend_pid()",
    "SELECT pid FROM pg_stat_activity WHERE pid = {}",
    "SELECT pg_terminate_backend({})",
)


@pytest.fixture(params=["postgresql", "mariadb", "mysql", "mariadb-asyncmy", "mysql-asyncmy"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_a_transaction_works_after_the_server_has_closed_the_idle_connection(
    target: str, single_connection: AsyncEngine, engine: AsyncEngine
) -> None:
    name, _, end = _POSTGRESQL if target == "postgresql" else _MYSQL
    for _ in range(3):
        async with single_connection.connect() as connection:
            session = (await connection.execute(text(f"SELECT {name}"))).scalar_one()
        async with engine.begin() as connection:
            await connection.execute(text(end.format(session)))
        await _session_ended(target, engine, session)
        await _transaction_works_without_retries(single_connection)


@pytest.mark.parametrize("target", ["mariadb", "mysql", "mariadb-asyncmy", "mysql-asyncmy"])
async def test_a_transaction_works_after_the_server_has_timed_out_the_idle_connection(
    target: str, single_connection: AsyncEngine, engine: AsyncEngine
) -> None:
    async with single_connection.connect() as connection:
        session = (await connection.execute(text("SELECT CONNECTION_ID()"))).scalar_one()
        await connection.execute(text("SET SESSION wait_timeout = 1"))
    await _session_ended(target, engine, session)
    await _transaction_works_without_retries(single_connection)


async def test_a_server_that_closes_every_new_connection_is_a_transient_failure(single_connection: AsyncEngine) -> None:
    event.listen(single_connection.sync_engine, "connect", lambda connection, _record: connection.terminate())
    storage = SqlRepository(single_connection, retry=Retry(attempts=1))
    with pytest.raises(StorageConnectionError, match="the server closed a new connection") as failure:
        async with storage.transaction():
            pass
    assert failure.value.transient


async def _transaction_works_without_retries(engine: AsyncEngine) -> None:
    storage = SqlRepository(engine, retry=Retry(attempts=1))
    async with storage.transaction() as transaction:
        await transaction.save_session(sample(SessionRow))
    assert await storage.load_sessions("name") == [sample(SessionRow)]


async def _session_ended(target: str, engine: AsyncEngine, session: int) -> None:
    """Wait until the server has ended the session."""
    query = (_POSTGRESQL if target == "postgresql" else _MYSQL)[1].format(session)
    while True:
        async with engine.begin() as connection:
            if (await connection.execute(text(query))).first() is None:
                break
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.1)  # for its last message to arrive
