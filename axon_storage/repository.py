"""SqlRepository: the one backend for every database, and its transaction."""

import asyncio
import time
from collections.abc import AsyncIterator, Set
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import schema
from axon_storage.backend import StorageBackend
from axon_storage.calls import Call, Evict, Writing
from axon_storage.engines import engine_like
from axon_storage.errors import QueryError
from axon_storage.executor import DEFAULT_TIMEOUT, Executor, Retry, Work, in_transaction
from axon_storage.group_commit import GroupCommit
from axon_storage.ids import Clock, IdSource, new_id
from axon_storage.work import Planner
from axon_storage.writes import Place, Writer

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

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        with self._group.block() as claims:
            async with self._executor.transaction() as connection:
                block = _Block(connection, claims)
                try:
                    yield _Transaction(self, block)
                finally:
                    block.over = True
                    await _end_of_call(block.turn)
                if block.failure is not None:
                    raise QueryError("rolled back: a call in it had failed", operation="transaction") from block.failure

    async def is_healthy(self) -> bool:
        probe = asyncio.create_task(self._probe())
        self._probes.add(probe)
        probe.add_done_callback(self._probes.discard)
        # waited for from outside, since a lost server may also hold up the clearing away after a cancellation
        done, _ = await asyncio.wait({probe}, timeout=_HEALTH_SECONDS)
        probe.cancel()
        return bool(done) and not probe.cancelled() and probe.exception() is None and probe.result()

    async def _probe(self) -> bool:
        engine = engine_like(self._executor.engine)
        try:
            async with engine.connect() as connection:
                return not await schema.is_behind(connection)
        finally:
            await engine.dispose()

    async def _run(self, call: Call[T]) -> T:
        if isinstance(call, Writing):
            answer: T = await self._group.write(self._writer.work_out(call))
            return answer
        return await self._executor.run(call.operation, self._planner.plan(call))

    async def _close(self) -> None:
        self._executor.check_outside()
        await self._group.close()
        await self._executor.close()
        await asyncio.gather(*self._probes, return_exceptions=True)


async def _end_of_call(turn: asyncio.Lock) -> None:
    """Wait for the call under way, cancelled or not: until it ends the connection is not free for the block's end."""
    waiting = asyncio.ensure_future(turn.acquire())
    cancelled: asyncio.CancelledError | None = None
    while not waiting.done():
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError as error:
            cancelled = error
    turn.release()
    if cancelled is not None:
        raise cancelled


@dataclass(slots=True)
class _Block:
    """An open transaction: one connection, one call at a time, nothing more after the first failure.

    ``claims``: the rows it has written, for the group commit to know.
    """

    connection: Connection
    claims: set[Place | str]
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    failure: BaseException | None = None
    over: bool = False


class _Transaction(StorageBackend):
    """The storage's methods inside one transaction."""

    def __init__(self, repository: SqlRepository, block: _Block) -> None:
        self._repository, self._block = repository, block
        self._view_of, self._require_tenant = repository._view_of, repository._require_tenant

    def transaction(self) -> AbstractAsyncContextManager[StorageBackend]:
        raise QueryError("a transaction inside a transaction", operation="transaction")

    async def is_healthy(self) -> bool:
        return await self._repository.is_healthy()

    async def _run(self, call: Call[T]) -> T:
        executor, block, (places, work) = self._repository._executor, self._block, self._planned(call)
        async with block.turn:
            with executor.translating(call.operation):
                if block.over:
                    raise QueryError("this transaction is over")
                if block.failure is not None:
                    raise QueryError("an earlier call in this transaction failed") from block.failure
                try:
                    return await executor.within(call.operation, self._on(places, work))
                except BaseException as failure:
                    block.failure = failure
                    raise

    def _planned(self, call: Call[T]) -> tuple[Set[Place | str], Work[T]]:
        """The rows, or tables as a whole, that a call writes, and its work."""
        if isinstance(call, Writing):
            write = self._repository._writer.work_out(call)
            return write.places, self._repository._writer.alone(write)
        places: Set[Place | str] = {call.row_type.TABLE} if isinstance(call, Evict) else frozenset()
        return places, self._repository._planner.plan(call)

    async def _on(self, places: Set[Place | str], work: Work[T]) -> T:
        await self._repository._group.claim(self._block.claims, places)
        return await in_transaction(self._block.connection, work)

    async def _close(self) -> None:
        """The block's end closes it."""
