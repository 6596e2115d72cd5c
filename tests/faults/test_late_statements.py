"""A statement that a server runs late, after the call was retried on another connection, overwrites nothing newer."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from axon_storage import SessionRow, SqlRepository, StorageConnectionError, create_engine, operation_timeout, schema
from axon_storage.engine.executor import Executor
from axon_storage.testing.samples import sample
from tests.faults.private import server


class Link:
    """Forwards bytes between a client and a server, and can cut off the client without the server's notice."""

    def __init__(self, port: int) -> None:
        self._to, self._clients, self._servers = port, list[asyncio.StreamWriter](), list[asyncio.StreamWriter]()
        self._pipes: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        listener = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        yield int(listener.sockets[0].getsockname()[1])
        listener.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)
        for writer in [*self._clients, *self._servers]:
            writer.close()
            with suppress(OSError):  # it was cut
                await writer.wait_closed()

    def lose_client(self) -> None:
        self._clients[0].transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.append(writer)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._to)
        self._servers.append(to_server)
        for source, target in ((reader, to_server), (from_server, writer)):
            self._pipes.add(asyncio.create_task(_pipe(source, target)))


async def _pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    except OSError:
        return  # the other end stays open, as when a firewall has dropped the connection


async def _value_after(
    call: Callable[[SqlRepository], Awaitable[object]], then: Callable[[SqlRepository], Awaitable[object]]
) -> str | None:
    """Return the row's value after a call whose first attempt the server runs late, and a write after the call."""
    with server("postgresql") as (_, url):
        await schema.upgrade(url)
        link = Link(make_url(url).port or 0)
        async with link.running() as port:
            engine = create_engine(make_url(url).set(port=port), pool_size=1, max_overflow=10)
            async with SqlRepository(engine) as storage:
                for _ in range(2):  # so that the statements are prepared, also those that the driver sends itself
                    await storage.save_session(sample(SessionRow, value="before"))
                    await storage.delete_session("name", "no such")
                    await storage.delete_sessions("no such")
                    await storage.create(sample(SessionRow, value="exists"))
                await asyncio.sleep(0)  # the connection of the last call goes back to the pool
                async with engine.connect() as connection:
                    backend = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
                os.kill(backend, signal.SIGSTOP)
                try:
                    late = asyncio.ensure_future(call(storage))
                    await asyncio.sleep(0.3)
                    link.lose_client()
                    await late
                    await then(storage)
                finally:
                    os.kill(backend, signal.SIGCONT)
                await asyncio.sleep(0.5)
                found = await storage.get_session("name", "name")
                return None if found is None else found.value


WRITES: dict[str, Callable[[SqlRepository], Awaitable[object]]] = {
    "save": lambda storage: storage.save_session(sample(SessionRow, value="first")),
    "delete": lambda storage: storage.delete_session("name", "name"),
    "delete of a range": lambda storage: storage.delete_sessions("name"),
}


@pytest.mark.parametrize("write", WRITES)
async def test_a_statement_that_the_server_runs_late_does_not_overwrite_a_later_save(write: str) -> None:
    def save(storage: SqlRepository) -> Awaitable[object]:
        return storage.save_session(sample(SessionRow, value="second"))

    assert await _value_after(WRITES[write], save) == "second"


async def test_a_create_that_the_server_runs_late_does_not_bring_a_row_back() -> None:
    async def create(storage: SqlRepository) -> None:
        await storage.delete_session("name", "name")
        assert await storage.create(sample(SessionRow, value="first"))

    def delete(storage: SqlRepository) -> Awaitable[object]:
        return storage.delete_session("name", "name")

    assert await _value_after(create, delete) is None


async def test_a_commit_that_the_server_runs_late_comes_before_a_later_save(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Executor, "grace_seconds", 0.3)
    with server("postgresql") as (_, url):
        await schema.upgrade(url)
        engine = create_engine(url, pool_size=1, max_overflow=10)
        async with SqlRepository(engine) as storage, SqlRepository(create_engine(url)) as elsewhere:
            async with engine.connect() as connection:
                backend = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            try:
                with operation_timeout(0.3), pytest.raises(StorageConnectionError, match="may have been carried out"):
                    async with storage.transaction() as transaction:
                        await transaction.save_session(sample(SessionRow, value="first"))
                        os.kill(backend, signal.SIGSTOP)
                later = asyncio.create_task(elsewhere.save_session(sample(SessionRow, value="second")))
                await asyncio.sleep(0.5)
                assert not later.done()  # the row is locked until the server runs the COMMIT
            finally:
                os.kill(backend, signal.SIGCONT)
            await later
            await asyncio.sleep(0.3)
            found = await elsewhere.get_session("name", "name")
            assert found is not None
            assert found.value == "second"
