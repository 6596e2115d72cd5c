"""Engines that are disposed of, connections that the server has closed, and unusual event loops."""

import asyncio
import gc

import pytest
from sqlalchemy import text

from axon_storage import DaemonRow, SqlRepository, create_engine, new_id
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import save, several_writers, start, storage_with, value_of

pytestmark = pytest.mark.timeout(120)


@several_writers
async def test_an_engine_that_its_host_disposes_of_leaves_no_connection_open(url: str) -> None:
    async with storage_with(url) as storage:
        for turn in range(3):
            await asyncio.gather(*(save(storage, f"{turn} {number}") for number in range(50)))
            await storage.engine.dispose()
            gc.collect()  # warns of a connection that was not closed
        assert len(await storage.load_sessions("s")) == 150


@pytest.mark.parametrize("size", [1, 300, 2_000])
async def test_a_host_can_stream_a_long_result(repository: SqlRepository, size: int) -> None:
    await repository.save_many(sample(DaemonRow, name=f"{number:04}") for number in range(1_000))
    async with repository.engine.connect() as connection:
        result = await connection.stream(text("SELECT name FROM daemons ORDER BY name"))
        found = [await result.scalars().fetchmany(size) for _ in range(1_000 // size + 2)]
    assert [name for page in found for name in page] == [f"{number:04}" for number in range(1_000)]


async def test_a_read_beside_a_batch_may_be_the_first_to_connect(url: str) -> None:
    for turn in range(12):
        async with storage_with(url) as storage:
            calls = start(*(save(storage, str(number)) for number in range(20)))
            await asyncio.sleep(0)
            calls[0].cancel()  # this one is not in a batch, and connects first
            await asyncio.sleep(0.0005 * turn)
            await asyncio.gather(*(storage.load_daemons() for _ in range(3)), *calls[1:])


async def test_group_commit_works_with_a_task_factory_without_contexts(repository: SqlRepository) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(
        lambda loop, coroutine: asyncio.Task(coroutine, loop=loop)
    )  # without the context, as before Python 3.11
    try:
        await asyncio.gather(*(save(repository, str(number)) for number in range(9)))
    finally:
        loop.set_task_factory(None)
    assert len(await repository.load_sessions("s")) == 9


END_SESSIONS = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT CONCAT('KILL ', id) FROM information_schema.processlist "
    "WHERE db = DATABASE() AND id <> CONNECTION_ID()",
}


@pytest.mark.needs_role("owner", reason="it ends the sessions of others")
@pytest.mark.not_on("sqlite", "a file has no server")
@pytest.mark.not_on("oracle", "its sessions cannot be ended this way")
async def test_a_transaction_begins_though_the_server_has_closed_the_idle_connections(url: str) -> None:
    async with storage_with(url) as storage:
        for known in ("before", new_id().hex):
            await asyncio.gather(*(storage.load_daemons() for _ in range(4)))
            await end_sessions(url)
            async with storage.transaction() as transaction:
                await save(transaction, known)
            assert await value_of(storage, known) is not None


async def end_sessions(url: str) -> None:
    """End every other session of a database, as a server does after a long idle time."""
    engine = create_engine(url)
    try:
        async with engine.connect() as connection:
            dialect = "postgresql" if engine.dialect.name == "postgresql" else "mysql"
            found = (await connection.execute(text(END_SESSIONS[dialect]))).scalars().all()
            for statement in found if dialect == "mysql" else []:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()
