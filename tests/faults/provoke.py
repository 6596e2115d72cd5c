"""Provoke errors of a server: each function here raises the error that it is named after, or returns one that does."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import make_url

from axon_storage import StorageConnectionError, StorageDispatcher, StorageError, TraceRow, create_engine, open_storage
from axon_storage.engine.executor import Executor
from axon_storage.testing.samples import sample
from tests.servers.process import Process

SECRET = "not-the-password"


@dataclass
class ProvokedServer:
    """A server for errors. ``url`` is that of an application's account, which meets the errors."""

    kind: str
    process: Process
    administrator: str
    url: str

    async def administer(self, *statements: str) -> list[Any]:
        """Run statements as the administrator, and return the rows of the last one."""
        engine = create_engine(self.administrator)
        try:
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                results = [await connection.execute(text(statement)) for statement in statements]
                return list(results[-1].all()) if results[-1].returns_rows else []
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def setting(self, change: str, undo: str) -> AsyncIterator[None]:
        """Change a setting of the server for sessions that begin inside."""
        await self.administer(change)
        try:
            yield
        finally:
            await self.administer(undo)

    @asynccontextmanager
    async def storage(self, **options: Any) -> AsyncIterator[StorageDispatcher]:
        """Open a storage that does not retry."""
        async with open_storage(self.url, migrate=False, retry_attempts=1, **options) as storage:
            yield storage

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Start a save that waits for a row lock, and yield its task."""
        async with self.storage() as holder, self.storage() as waiter:
            with suppress(StorageError):  # the holder of the lock may meet the same error
                async with holder.transaction() as transaction:
                    await transaction.save_trace(sample(TraceRow))
                    task = asyncio.create_task(waiter.save_trace(sample(TraceRow)))
                    while not await self.administer(_WAITERS[self.kind]):
                        assert not task.done(), task.exception()
                    yield task
                    await asyncio.wait({task})


_WAITERS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    "mariadb": "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    "mysql": "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


Provoke = Callable[[ProvokedServer], Awaitable[Any]]
"""A function that raises an error of the server."""


async def deadlock(server: ProvokedServer) -> None:
    both = asyncio.Barrier(2)

    async def cross(storage: StorageDispatcher, first: int, second: int) -> None:
        async with storage.transaction() as transaction:
            await transaction.save_trace(sample(TraceRow, trace_id=first))
            await both.wait()
            await transaction.save_trace(sample(TraceRow, trace_id=second))

    async with server.storage() as storage:
        ends = await asyncio.gather(cross(storage, 1, 2), cross(storage, 2, 1), return_exceptions=True)
    [error] = [end for end in ends if end is not None]
    raise error


def lock_timeout(change: str, undo: str) -> Provoke:
    async def provoke(server: ProvokedServer) -> None:
        async with server.setting(change, undo), server.waiting() as task:
            await asyncio.wait({task})
        await task

    return provoke


def killed_session(end: str) -> Provoke:
    async def provoke(server: ProvokedServer) -> None:
        async with server.waiting() as task:
            [[session]] = await server.administer(_WAITERS[server.kind])
            await server.administer(end.format(session=session))
        await task

    return provoke


def killed_server(how: signal.Signals) -> Provoke:
    async def provoke(server: ProvokedServer) -> None:
        async with server.waiting() as task:
            server.process.popen.send_signal(how)
            await asyncio.wait({task})
        await restart(server)
        await task

    return provoke


async def restart(server: ProvokedServer) -> None:
    await asyncio.to_thread(server.process.restart)
    while True:
        with suppress(StorageConnectionError):  # it is still starting
            async with server.storage():
                return


async def shutting_down(server: ProvokedServer) -> None:
    async with server.storage() as storage, storage.transaction() as transaction:
        await transaction.load_daemons()
        server.process.popen.send_signal(signal.SIGTERM)
        error: StorageError | None = None
        while error is None:
            try:
                async with server.storage():
                    pass
            except StorageError as refused:
                error = refused
    await restart(server)
    raise error


def refused_write(change: str, undo: str) -> Provoke:
    async def provoke(server: ProvokedServer) -> None:
        async with server.setting(change, undo), server.storage() as storage:
            await storage.save_trace(sample(TraceRow))

    return provoke


def refused_login(*, password: str | None = None, database: str | None = None) -> Provoke:
    async def provoke(server: ProvokedServer) -> None:
        url = make_url(server.url).set(password=password, database=database)
        async with open_storage(url.render_as_string(hide_password=False)):
            pass

    return provoke


def too_many_connections(change: str, undo: str) -> Provoke:
    async def provoke(server: ProvokedServer) -> None:
        async with server.setting(change, undo), server.storage(pool_size=20) as storage:
            transactions = [storage.transaction() for _ in range(16)]
            ends = await asyncio.gather(
                *(transaction.__aenter__() for transaction in transactions), return_exceptions=True
            )
            for transaction, end in zip(transactions, ends, strict=True):
                if not isinstance(end, BaseException):
                    await transaction.__aexit__(None, None, None)
        raise next(end for end in ends if isinstance(end, BaseException))

    return provoke


async def idle_timeout(server: ProvokedServer) -> None:
    brief = server.setting(*set_global("wait_timeout", 1, 28_800))
    async with brief, server.storage() as storage, storage.transaction() as transaction:
        await transaction.load_daemons()
        await asyncio.sleep(1.5)
        await transaction.load_daemons()


async def plan_changed(server: ProvokedServer) -> None:
    async with server.storage(pool_size=1, max_overflow=0) as storage:
        async with storage.transaction() as transaction:
            await transaction.load_traces(1)
        engine = create_engine(server.url)
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE traces ALTER COLUMN status TYPE text"))
        await engine.dispose()
        async with storage.transaction() as transaction:
            await transaction.load_traces(1)


def serialization_failure(isolation: str, before: str = "SELECT 1") -> Provoke:
    """Change a row that another transaction has changed since, at an isolation level that only a host asks for."""

    async def provoke(server: ProvokedServer) -> None:
        engine = create_engine(server.url)
        change = text("UPDATE traces SET status = :status")
        executor = Executor(engine)
        async with server.storage() as storage:
            await storage.save_trace(sample(TraceRow))
        try:
            with executor.translate_errors("provoked"):
                async with engine.connect() as connection, engine.connect() as other:
                    await connection.execution_options(isolation_level=isolation)
                    await connection.execute(text(before))
                    await connection.execute(text("SELECT status FROM traces"))
                    await other.execute(change, {"status": "theirs"})
                    await other.commit()
                    await connection.execute(change, {"status": "ours"})
        finally:
            await engine.dispose()

    return provoke


def set_global(setting: str, value: int, usual: int) -> tuple[str, str]:
    return f"SET GLOBAL {setting} = {value}", f"SET GLOBAL {setting} = {usual}"
