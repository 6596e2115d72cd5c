"""HealthCheck: checks whether the database can be used, and whether calls wait for a connection or for the queue."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from axon_storage.dialects import dialect_of
from axon_storage.engine.create import engine_like
from axon_storage.engine.deadline import CONNECTION, DATABASE, Deadline
from axon_storage.engine.events import allows_autocommit
from axon_storage.engine.executor import Executor
from axon_storage.engine.forks import keep, leave_to_parent
from axon_storage.engine.lifecycle import CLOSED
from axon_storage.engine.pool_stats import pool_stats
from axon_storage.errors import ClosedError, StorageConnectionError, StorageError
from axon_storage.model.health import Health, HealthReason, HealthReasonName, is_healthy

_READ_ONLY = HealthReason(HealthReasonName.READ_ONLY, "the server, or the file, refuses writes")
_QUEUE_FULL = HealthReason(HealthReasonName.QUEUE_FULL, "group commit's queue is full: further writes wait for room")

_Reasons = tuple[HealthReason, ...]

_kept: "WeakKeyDictionary[Engine, tuple[int, AsyncEngine]]" = WeakKeyDictionary()
"""By the engine of a storage: the engine kept for its health checks, with the id of the process that created it."""


class HealthCheck:
    """Checks the database of a storage, its pool and its queue.

    ``schema_reason``: returns why the schema is wrong or notable, or None. ``queue_is_full``: returns whether further
    writes wait for room.

    A check of the database uses a separate connection, because a busy pool is not a failure. If the database is
    healthy, the connection is kept for the next check, and closed when the storage's engine is disposed of. Concurrent
    checks use separate connections.
    """

    database_seconds: float = 4.5
    """Seconds after which a database that has not answered is unreachable. With ``pool_seconds`` it is less than 5."""

    kept_seconds: float = 1.0
    """Seconds after which the kept connection is given up for a new one, which has the rest of the time."""

    pool_seconds: float = 0.4
    """Seconds after which a pool without a free connection is exhausted."""

    def __init__(
        self,
        executor: Executor,
        schema_reason: Callable[[Connection], HealthReason | None],
        queue_is_full: Callable[[], bool],
    ) -> None:
        self._executor, self._schema_reason, self._queue_is_full = executor, schema_reason, queue_is_full
        self._owner = executor.connections.host_engine.sync_engine
        self._checks: set[asyncio.Task[_Reasons]] = set()
        if not event.contains(self._owner, "engine_disposed", _dispose_of_kept):
            event.listen(self._owner, "engine_disposed", _dispose_of_kept)

    async def is_healthy(self) -> bool:
        """Return whether the database can be used. This returns within 5 seconds, and never raises."""
        return is_healthy(await self._database_reasons())

    async def health(self) -> Health:
        """Return the health of the database, the pool and the queue, within 5 seconds; never raise."""
        start = perf_counter()
        reasons = await self._database_reasons()
        if is_healthy(reasons) and self._may_be_exhausted():
            message = f"no connection of the pool became free within {self.pool_seconds:g} s"
            exhausted = HealthReason(HealthReasonName.POOL_EXHAUSTED, message)
            reasons += await self._within(self.pool_seconds, self._try_pool(), exhausted)
        if self._queue_is_full():
            reasons += (_QUEUE_FULL,)
        return Health(reasons, perf_counter() - start)

    async def close(self) -> None:
        """Wait for checks in progress. Call it after the executor is closed; then no connection is kept."""
        if self._checks:
            await asyncio.wait(self._checks, timeout=self._executor.grace_seconds)

    async def _within(self, seconds: float, check: Coroutine[Any, Any, _Reasons], otherwise: HealthReason) -> _Reasons:
        """Return what a check finds, or ``otherwise`` if it is not done after some seconds."""
        # In a separate task, because after a cancellation, closing a connection to a lost server takes time.
        task = asyncio.create_task(check)
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)
        try:
            await asyncio.wait({task}, timeout=seconds)
        finally:
            task.cancel()
        return task.result() if task.done() and not task.cancelled() else (otherwise,)

    # The database.

    async def _database_reasons(self) -> _Reasons:
        if self._executor.lifecycle.is_closed:
            return (HealthReason(HealthReasonName.CLOSED, CLOSED),)
        no_answer = HealthReason(HealthReasonName.UNREACHABLE, f"no answer within {self.database_seconds:g} s")
        return await self._within(self.database_seconds, self._check(), no_answer)

    async def _check(self) -> _Reasons:
        try:
            with self._executor.translate_errors("health"), Deadline(self.database_seconds, waiting_for=DATABASE):
                kept = self._take()
                # The kept connection may be dead, or its server may no longer be the one at the address.
                with suppress(Exception), Deadline(self.kept_seconds):
                    if kept is not None and is_healthy(found := await self._ask(kept)):
                        return found
                engine = engine_like(self._executor.engine)
                leave_to_parent(engine.sync_engine)
                return await self._ask(engine)
        except Exception as error:
            unreachable = isinstance(error, StorageConnectionError)
            name = HealthReasonName.UNREACHABLE if unreachable else HealthReasonName.CHECK_FAILED
            return (HealthReason(name, _message(error)),)

    async def _ask(self, engine: AsyncEngine) -> _Reasons:
        """Check the database on a connection of an engine, then keep the engine or dispose of it."""
        healthy = False
        try:
            async with engine.connect() as connection:
                await _avoid_transaction(connection)
                found = await connection.run_sync(self._reasons)
                healthy = is_healthy(found)
        finally:
            if not (healthy and self._keep(engine)):
                await engine.dispose()
        return found

    def _reasons(self, connection: Connection) -> _Reasons:
        schema = self._schema_reason(connection)
        read_only = _READ_ONLY if dialect_of(connection.dialect).is_read_only(connection) else None
        return tuple(reason for reason in (schema, read_only) if reason is not None)

    def _take(self) -> AsyncEngine | None:
        if not self._executor.lifecycle.is_current:
            return None
        return _kept.pop(self._owner, (0, None))[1]

    def _keep(self, engine: AsyncEngine) -> bool:
        if self._owner in _kept or not self._executor.lifecycle.is_current:
            return False
        _kept[self._owner] = os.getpid(), engine
        return True

    # The pool.

    def _may_be_exhausted(self) -> bool:
        """Return whether all connections that the pool keeps are in use. Whether it may open more, is not public."""
        pool = pool_stats(self._executor.engine)
        return self._executor.lifecycle.is_current and pool is not None and 0 < pool.size <= pool.in_use

    async def _try_pool(self) -> _Reasons:
        """Wait for a connection of the pool, as any call does."""
        executor = self._executor
        try:
            with (
                executor.translate_errors("health"),
                Deadline(self.pool_seconds, waiting_for=CONNECTION),
                executor.lifecycle.call("health"),  # close() waits for it
            ):
                async with executor.engine.connect():
                    return ()
        except ClosedError:
            return (HealthReason(HealthReasonName.CLOSED, CLOSED),)
        except Exception as error:
            return (HealthReason(HealthReasonName.POOL_EXHAUSTED, _message(error)),)


def _dispose_of_kept(owner: Engine) -> None:
    process, engine = _kept.pop(owner, (0, None))
    if engine is None:
        return
    if process == os.getpid():
        engine.sync_engine.dispose()
    else:
        keep(engine.sync_engine.pool)


async def _avoid_transaction(connection: AsyncConnection) -> None:
    """Use autocommit mode if the database allows it, to save the round trips of a transaction."""
    inner = connection.sync_connection
    if inner is not None and allows_autocommit(inner):
        await connection.execution_options(**dialect_of(connection.dialect).autocommit_options)


def _message(error: Exception) -> str:
    """Return the message of an error of this package; of another one only the class, as the text may be secret."""
    return error.message if isinstance(error, StorageError) else type(error).__name__
