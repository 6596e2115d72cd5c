"""``is_healthy`` is False while saves would fail, ``health`` says why, and one connection is kept between calls."""

import asyncio
import gc
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    QueryError,
    SqlRepository,
    StorageBackend,
    StorageConnectionError,
    TraceRow,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.testing.samples import sample
from tests.faults.private import KINDS, server
from tests.faults.proxy import Proxy, storage_through_proxy

NOBODY = 65534


class Counted:
    """A storage in use, and the number of connections that have been opened for it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.storage, self.opened = SqlRepository(engine), 0
        event.listen(engine.sync_engine, "do_connect", self._count)

    def _count(self, *_: object) -> None:
        self.opened += 1


@pytest.fixture
async def counted(url: str) -> AsyncIterator[Counted]:
    made = Counted(create_engine(url))
    await made.storage.load_traces(1)
    made.opened = 0
    yield made
    await made.storage.close()


@pytest.mark.parametrize("target", ["sqlite", "postgresql", "mariadb", "mysql", "mysql-asyncmy", "oracle-double-23ai"])
async def test_the_checks_share_one_connection(counted: Counted) -> None:
    for _ in range(5):
        assert await counted.storage.is_healthy()
    assert counted.opened == 1
    assert all(await asyncio.gather(*(counted.storage.is_healthy() for _ in range(4))))  # no check waits for another
    before = counted.opened
    assert await counted.storage.is_healthy()
    assert counted.opened == before


async def test_closing_a_storage_closes_the_connection_of_its_checks(url: str) -> None:
    proxy = Proxy(make_url(url).port or 0)
    async with proxy.running() as port:
        through = make_url(url).set(port=port).render_as_string(hide_password=False)
        async with open_storage(through, migrate=False) as storage:
            await storage.load_traces(1)
            before = proxy.connections
            assert await storage.is_healthy()
            assert proxy.connections == before + 1
        async with asyncio.timeout(20):
            while proxy.connections:  # noqa: ASYNC110  # a count has no event
                await asyncio.sleep(0.01)


async def test_a_server_that_answers_again_is_healthy_at_once(url: str) -> None:
    async with storage_through_proxy(url) as (proxy, storage):
        await storage.load_traces(1)
        assert await storage.is_healthy()
        proxy.flows.clear()
        assert not await storage.is_healthy()
        assert await _reasons(storage) == ["unreachable"]
        proxy.cut()
        proxy.flows.set()
        assert await storage.is_healthy()
        assert await _reasons(storage) == []


@pytest.mark.parametrize("target", ["postgresql", "mariadb", "mysql", "mysql-asyncmy"])  # Oracle's driver waits
async def test_a_kept_connection_that_gives_no_answer_is_replaced(url: str) -> None:
    async with storage_through_proxy(url) as (proxy, storage):
        await storage.load_traces(1)
        assert await storage.is_healthy()
        proxy.silence()
        assert await storage.is_healthy()


async def test_the_kept_connection_is_closed_with_a_hosts_engine(url: str) -> None:
    proxy = Proxy(make_url(url).port or 0)
    async with proxy.running() as port:
        engine = create_engine(make_url(url).set(port=port))
        for _ in range(3):  # further storages on the engine share it
            storage = SqlRepository(engine)
            await storage.load_traces(1)
            assert await storage.is_healthy()
        assert proxy.connections == 2
        await engine.dispose()
        async with asyncio.timeout(20):
            while proxy.connections:  # noqa: ASYNC110  # counts
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("target", ["sqlite", "postgresql", "mysql"])
async def test_a_check_in_another_event_loop_does_not_use_the_kept_connection(counted: Counted) -> None:
    assert await counted.storage.is_healthy()
    assert await asyncio.to_thread(asyncio.run, counted.storage.is_healthy())
    assert counted.opened == 2
    gc.collect()  # must find no open connection
    assert await counted.storage.is_healthy()
    assert counted.opened == 2


@pytest.mark.parametrize("kind", KINDS)
async def test_a_restarted_server_is_healthy_again(kind: str) -> None:
    with server(kind) as (process, url):
        async with open_storage(url, migrate=True) as storage:
            await storage.load_traces(1)
            assert await storage.is_healthy()
            process.popen.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.popen.wait)
            assert not await storage.is_healthy()
            assert await _reasons(storage) == ["unreachable"]
            await asyncio.to_thread(process.restart)
            async with asyncio.timeout(60):
                while not await storage.is_healthy():  # noqa: ASYNC110  # it is starting
                    await asyncio.sleep(0.05)


async def _reasons(storage: StorageBackend) -> list[str]:
    """Return the names of the reasons why a storage is not healthy."""
    health = await asyncio.wait_for(storage.health(), 30)
    assert health.healthy == health.ready == (not health.reasons)
    return [reason.name.value for reason in health.reasons]


async def test_a_cancelled_health_does_not_keep_a_storage_from_closing(url: str) -> None:
    async with asyncio.timeout(60), storage_through_proxy(url) as (proxy, storage):
        await storage.load_traces(1)
        proxy.flows.clear()
        question = asyncio.create_task(storage.health())
        await asyncio.sleep(0.2)
        question.cancel()
        await asyncio.wait({question})
        assert question.cancelled()


async def test_a_pool_that_cannot_open_another_connection_is_exhausted(url: str) -> None:
    through = storage_through_proxy(url, pool_size=1, max_overflow=1)
    async with through as (proxy, storage), storage.transaction() as transaction:
        await transaction.load_traces(1)
        assert await storage.is_healthy()  # the connection of the checks stays open
        proxy.refusing = True
        health = await storage.health()
        assert (health.healthy, health.ready) == (True, False)
        assert [reason.name.value for reason in health.reasons] == ["pool_exhausted"]
        proxy.refusing = False
        assert await _reasons(storage) == []


async def _execute(url: str, statement: str) -> None:
    engine = create_engine(url)
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def test_a_standby_of_postgresql_is_not_healthy_until_it_is_promoted() -> None:
    with server("postgresql") as (process, url):
        async with open_storage(url, migrate=True, retry_attempts=1) as storage:
            await storage.load_traces(1)
            assert await storage.is_healthy()
            process.popen.send_signal(signal.SIGINT)
            await asyncio.to_thread(process.popen.wait)
            signal_file = process.log.parent / "data" / "standby.signal"
            signal_file.touch(mode=0o666)
            await asyncio.to_thread(process.restart)
            async with asyncio.timeout(60):
                while not await _answers(storage.backend):  # noqa: ASYNC110  # it is starting
                    await asyncio.sleep(0.05)
            assert not await storage.is_healthy()
            assert await _reasons(storage) == ["read_only"]
            with pytest.raises(StorageConnectionError, match="read-only transaction"):
                await storage.save_trace(sample(TraceRow))
            await _execute(url, "SELECT pg_promote()")
            assert await storage.is_healthy()
            await storage.save_trace(sample(TraceRow))


async def _answers(storage: object) -> bool:
    assert isinstance(storage, SqlRepository)
    try:
        await storage.load_traces(1)
    except StorageConnectionError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "setting"), [("mariadb", "read_only"), ("mysql", "read_only"), ("mysql", "super_read_only")]
)
async def test_a_read_only_mysql_or_mariadb_is_not_healthy(kind: str, setting: str) -> None:
    with server(kind) as (_, url):
        async with open_storage(url, migrate=True) as storage:
            await storage.load_traces(1)
            assert await storage.is_healthy()
            await _execute(url, f"SET GLOBAL {setting} = 1")
            assert not await storage.is_healthy()
            assert await _reasons(storage) == ["read_only"]
            await _execute(url, "SET GLOBAL read_only = 0")
            assert await storage.is_healthy()


async def test_a_postgresql_database_of_read_only_transactions_is_not_healthy() -> None:
    with server("postgresql") as (_, url):
        await schema.upgrade(url)
        await _execute(url, "ALTER DATABASE postgres SET default_transaction_read_only = on")
        async with open_storage(url) as storage:
            assert not await storage.is_healthy()
            assert await _reasons(storage) == ["read_only"]


@contextmanager
def nobody() -> Iterator[None]:
    """Drop root's permission to write every file, if the tests run as root."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def anybodys_file() -> Iterator[Path]:
    """A SQLite file in a directory that every account may write."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o777)
        yield Path(directory) / "agents.db"


async def test_a_sqlite_file_that_cannot_be_written_is_not_healthy(anybodys_file: Path) -> None:
    file = anybodys_file
    async with open_storage(f"sqlite:///{file}") as storage:
        await storage.load_traces(1)
        for suffix in ("-wal", "-shm"):
            file.with_name(file.name + suffix).chmod(0o666)
        for mode, healthy in ((0o666, True), (0o444, False), (0o666, True)):
            file.chmod(mode)
            with nobody():
                assert await storage.is_healthy() == healthy
                assert await _reasons(storage) == ([] if healthy else ["read_only"])


async def test_a_sqlite_file_opened_read_only_is_not_healthy(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/agents.db") as storage:
        await storage.save_trace(sample(TraceRow))
        async with open_storage(f"sqlite:///file:{tmp_path}/agents.db?mode=ro&uri=true") as reader:
            assert await reader.load_traces(9) == [sample(TraceRow)]
            assert not await reader.is_healthy()
            assert await _reasons(reader) == ["read_only"]
            with pytest.raises(QueryError, match="readonly database"):
                await reader.save_trace(sample(TraceRow))


async def test_sqlite_connections_with_query_only_are_not_healthy(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agents.db"
    await schema.upgrade(url)
    engine = create_engine(url)
    assert await SqlRepository(engine).is_healthy()
    event.listen(engine.sync_engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only = ON"))
    async with SqlRepository(engine) as storage:
        assert not await storage.is_healthy()
