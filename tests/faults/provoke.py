"""Provoke errors of a server: each function here ends in the error that it is named after."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import make_url

from axon_storage import (
    StorageConnectionError,
    StorageDispatcher,
    StorageError,
    TraceRow,
    create_engine,
    open_storage,
)
from axon_storage.engine.executor import Executor
from tests.samples import sample
from tests.servers.process import Process

SECRET = "not-the-password"


@dataclass
class Site:
    """A server with an administrator, and with an application's account, which the provoked errors befall."""

    kind: str
    process: Process
    administrator: str
    url: str

    async def administer(self, *statements: str) -> list[Any]:
        """Run statements as the administrator; give the rows of the last."""
        engine = create_engine(self.administrator)
        try:
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                results = [await connection.execute(text(statement)) for statement in statements]
                return list(results[-1].all()) if results[-1].returns_rows else []
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def setting(self, change: str, undo: str) -> AsyncIterator[None]:
        """The server set otherwise, for sessions that begin in the block."""
        await self.administer(change)
        try:
            yield
        finally:
            await self.administer(undo)

    @asynccontextmanager
    async def storage(self, **options: Any) -> AsyncIterator[StorageDispatcher]:
        """A storage that never tries again."""
        async with open_storage(self.url, migrate=False, retry_attempts=1, **options) as storage:
            yield storage

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator["asyncio.Task[None]"]:
        """A save that waits for the lock of another."""
        async with self.storage() as holder, self.storage() as waiter:
            with suppress(StorageError):  # what befalls the waiter may befall the holder
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


Provoke = Callable[[Site], Awaitable[Any]]


async def deadlock(site: Site) -> None:
    both = asyncio.Barrier(2)

    async def cross(storage: StorageDispatcher, first: int, second: int) -> None:
        async with storage.transaction() as transaction:
            await transaction.save_trace(sample(TraceRow, trace_id=first))
            await both.wait()
            await transaction.save_trace(sample(TraceRow, trace_id=second))

    async with site.storage() as storage:
        ends = await asyncio.gather(cross(storage, 1, 2), cross(storage, 2, 1), return_exceptions=True)
    [error] = [end for end in ends if end is not None]
    raise error


def lock_timeout(change: str, undo: str) -> Provoke:
    async def provoke(site: Site) -> None:
        async with site.setting(change, undo), site.waiting() as task:
            await asyncio.wait({task})
        await task

    return provoke


def ended(end: str) -> Provoke:
    async def provoke(site: Site) -> None:
        async with site.waiting() as task:
            [[session]] = await site.administer(_WAITERS[site.kind])
            await site.administer(end.format(session=session))
        await task

    return provoke


def signalled(how: signal.Signals) -> Provoke:
    async def provoke(site: Site) -> None:
        async with site.waiting() as task:
            site.process.popen.send_signal(how)
            await asyncio.wait({task})
        await back(site)
        await task

    return provoke


async def back(site: Site) -> None:
    await asyncio.to_thread(site.process.restart)
    while True:
        with suppress(StorageConnectionError):  # it is on its way
            async with site.storage():
                return


async def stopping(site: Site) -> None:
    async with site.storage() as storage, storage.transaction() as transaction:
        await transaction.load_daemons()
        site.process.popen.send_signal(signal.SIGTERM)
        error: StorageError | None = None
        while error is None:
            try:
                async with site.storage():
                    pass
            except StorageError as refused:
                error = refused
    await back(site)
    raise error


def written(change: str, undo: str) -> Provoke:
    async def provoke(site: Site) -> None:
        async with site.setting(change, undo), site.storage() as storage:
            await storage.save_trace(sample(TraceRow))

    return provoke


def opened(*, password: str | None = None, database: str | None = None) -> Provoke:
    async def provoke(site: Site) -> None:
        url = make_url(site.url).set(password=password, database=database)
        async with open_storage(url.render_as_string(hide_password=False)):
            pass

    return provoke


def crowded(change: str, undo: str) -> Provoke:
    async def provoke(site: Site) -> None:
        async with site.setting(change, undo), site.storage(pool_size=20) as storage:
            transactions = [storage.transaction() for _ in range(16)]
            ends = await asyncio.gather(
                *(transaction.__aenter__() for transaction in transactions), return_exceptions=True
            )
            for transaction, end in zip(transactions, ends, strict=True):
                if not isinstance(end, BaseException):
                    await transaction.__aexit__(None, None, None)
        raise next(end for end in ends if isinstance(end, BaseException))

    return provoke


async def idle(site: Site) -> None:
    brief = site.setting(*set_global("wait_timeout", 1, 28_800))
    async with brief, site.storage() as storage, storage.transaction() as transaction:
        await transaction.load_daemons()
        await asyncio.sleep(1.5)
        await transaction.load_daemons()


async def plan_changed(site: Site) -> None:
    async with site.storage(pool_size=1, max_overflow=0) as storage:
        await storage.save_trace(sample(TraceRow))
        await storage.load_traces(1)
        engine = create_engine(site.url)
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE traces ALTER COLUMN status TYPE text"))
        await engine.dispose()
        await storage.load_traces(1)


def in_snapshot(isolation: str, before: str = "SELECT 1") -> Provoke:
    """A row changed by another since the transaction began, at a level that we never ask for, but a host may."""

    async def provoke(site: Site) -> None:
        engine = create_engine(site.url)
        change = text("UPDATE traces SET status = :status")
        executor = Executor(engine)
        async with site.storage() as storage:
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
