"""SqlRepository: the one backend for every database, and its transaction."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import schema
from axon_storage.backend import StorageBackend
from axon_storage.engine.create import engine_like
from axon_storage.engine.executor import DEFAULT_TIMEOUT, Executor, Retry
from axon_storage.engine.group_commit.scheduler import GroupCommit
from axon_storage.engine.open_transaction import OpenTransaction, open_transaction
from axon_storage.engine.timeouts import GRACE_SECONDS, Wait
from axon_storage.errors import QueryError
from axon_storage.model.ids import Clock, IdSource, new_id
from axon_storage.model.requests import Call, Writing
from axon_storage.sql.batches import Writer
from axon_storage.sql.compiler import Planner
from axon_storage.sql.unit_of_work import Work

T = TypeVar("T")

_HEALTH_SECONDS = 4.5


class SqlRepository(StorageBackend):
    """Stores in SQLite, PostgreSQL, MySQL, MariaDB or Oracle, through any engine of a supported async driver.

    The engine is made fit by events on it, and disposed of by :meth:`close`. ``clock`` gives nanoseconds since 1970;
    it dates the appends and the cache's expiry. ``require_tenant`` refuses calls that name no tenant. ``retry`` bounds
    how often a call is tried again, ``operation_timeout`` the seconds it may take in all. ``group_commit`` lets saves,
    appends and deletes that wait at the same moment go together, in one transaction.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        clock: Clock | None = None,
        require_tenant: bool = False,
        retry: Retry | None = None,
        operation_timeout: float = DEFAULT_TIMEOUT,
        group_commit: bool = True,
    ) -> None:
        self._executor = Executor(engine, retry=retry, timeout=operation_timeout)
        ids = new_id if clock is None else IdSource(clock)
        self._writer = Writer(self._executor.dialect, clock or time.time_ns, ids)
        self._planner = Planner(self._executor.dialect, clock or time.time_ns)
        self._group = GroupCommit(self._executor, self._writer, together=group_commit)
        self._require_tenant = require_tenant
        self._probes: set[asyncio.Task[bool]] = set()
        self._inside: set[asyncio.Task[object] | None] = set()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        self._check_outside("transaction")
        task = asyncio.current_task()
        with self._group.beside_transaction():
            async with open_transaction(self._executor) as opened:
                self._inside.add(task)
                try:
                    yield _Transaction(self, opened)
                finally:
                    self._inside.discard(task)

    def _check_outside(self, operation: str) -> None:
        """Refuse a write of the task that is inside a transaction() of this storage, past that transaction.

        On SQLite it would wait for the transaction's end, which waits for it. So it is refused everywhere.
        """
        if self._inside and asyncio.current_task() in self._inside:
            message = "this task is inside a transaction() of this storage: use the transaction's own methods"
            raise QueryError(message, operation=operation)

    async def is_healthy(self) -> bool:
        probe = asyncio.create_task(self._probe())
        self._probes.add(probe)
        probe.add_done_callback(self._probes.discard)
        try:
            # waited for from outside: closing a connection to a lost server takes its time after the cancellation
            await asyncio.wait({probe}, timeout=_HEALTH_SECONDS)
        finally:
            probe.cancel()
        return probe.done() and not probe.cancelled() and probe.exception() is None and probe.result()

    async def _probe(self) -> bool:
        engine = engine_like(self._executor.engine)
        with Wait().at_most(_HEALTH_SECONDS):
            try:
                async with engine.connect() as connection:
                    return not await schema.is_behind(connection)
            finally:
                await engine.dispose()

    async def _run(self, call: Call[T]) -> T:
        if isinstance(call, Writing):
            self._check_outside(call.operation)
            answer: T = await self._group.write(self._writer.work_out(call))
            return answer
        work = self._planner.plan(call)
        if work.writes:
            self._check_outside(call.operation)
        return await self._executor.run(call.operation, work)

    def work_of(self, call: Call[T]) -> Work[T]:
        """Give the work of a call by itself."""
        if isinstance(call, Writing):
            return self._writer.alone(self._writer.work_out(call))
        return self._planner.plan(call)

    async def _close(self) -> None:
        self._executor.check_outside()
        if self._executor.is_inherited():  # what is under way is the parent's, and ends there
            await self._executor.close()
            return
        await self._group.close()
        await self._executor.close()
        if self._probes:
            await asyncio.wait(self._probes, timeout=GRACE_SECONDS)


class _Transaction(StorageBackend):
    """The storage's methods inside one transaction."""

    def __init__(self, repository: SqlRepository, opened: OpenTransaction) -> None:
        self._repository, self._opened = repository, opened
        self._view_of, self._require_tenant = repository._view_of, repository._require_tenant

    def transaction(self) -> AbstractAsyncContextManager[StorageBackend]:
        raise QueryError("a transaction inside a transaction", operation="transaction")

    async def is_healthy(self) -> bool:
        return await self._repository.is_healthy()

    async def _run(self, call: Call[T]) -> T:
        return await self._opened.run(call.operation, self._repository.work_of(call))

    async def _close(self) -> None:
        """The block's end closes it."""
