"""HealthCheck: whether the database answers, accepts writes and has the schema."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from axon_storage.dialects import dialect_of
from axon_storage.engine.create import engine_like
from axon_storage.engine.deadline import Deadline
from axon_storage.engine.events import allows_autocommit
from axon_storage.engine.executor import Executor
from axon_storage.engine.forks import keep, leave_to_parent

_SECONDS = 4.5

_kept: "WeakKeyDictionary[Engine, tuple[int, AsyncEngine]]" = WeakKeyDictionary()
"""The engine that is kept for the checks of each storage's engine, with the process that made it."""


class HealthCheck:
    """Checks the database of a storage.

    ``is_behind``: returns whether the schema is missing or too old.

    A check uses a connection of its own, because a busy pool is not a failure. After a check that found the database
    healthy, its connection is kept for the next check, and closed together with the storage's engine. Checks at the
    same time use separate connections.
    """

    def __init__(self, executor: Executor, is_behind: Callable[[AsyncConnection], Awaitable[bool]]) -> None:
        self._executor, self._is_behind = executor, is_behind
        self._owner = executor.connections.host_engine.sync_engine
        self._checks: set[asyncio.Task[bool]] = set()
        if not event.contains(self._owner, "engine_disposed", _dispose_of_kept):
            event.listen(self._owner, "engine_disposed", _dispose_of_kept)

    async def is_healthy(self) -> bool:
        """Return within 5 seconds whether the database can be used; never raise an error."""
        if self._executor.lifecycle.is_closed:
            return False
        check = asyncio.create_task(self._check())
        self._checks.add(check)
        check.add_done_callback(self._checks.discard)
        try:
            # Not awaited after the cancellation, because closing the connection to a lost server takes time.
            await asyncio.wait({check}, timeout=_SECONDS)
        finally:
            check.cancel()
        return check.done() and not check.cancelled() and check.exception() is None and check.result()

    async def close(self) -> None:
        """Wait for the checks in progress. After the executor is closed, no connection is kept."""
        if self._checks:
            await asyncio.wait(self._checks, timeout=self._executor.grace_seconds)

    async def _check(self) -> bool:
        with Deadline(_SECONDS):
            kept = self._take()
            # The kept connection may be lost, or its server may no longer be the one at the address.
            with suppress(Exception):
                if kept is not None and await self._ask(kept):
                    return True
            engine = engine_like(self._executor.engine)
            leave_to_parent(engine.sync_engine)
            return await self._ask(engine)

    async def _ask(self, engine: AsyncEngine) -> bool:
        """Check on a connection of an engine, then keep the engine or dispose of it."""
        healthy = False
        try:
            async with engine.connect() as connection:
                await _avoid_transaction(connection)
                healthy = not await self._is_behind(connection) and not await connection.run_sync(_is_read_only)
        finally:
            if not (healthy and self._keep(engine)):
                await engine.dispose()
        return healthy

    def _take(self) -> AsyncEngine | None:
        if not self._executor.lifecycle.is_current:
            return None
        return _kept.pop(self._owner, (0, None))[1]

    def _keep(self, engine: AsyncEngine) -> bool:
        if self._owner in _kept or not self._executor.lifecycle.is_current:
            return False
        _kept[self._owner] = os.getpid(), engine
        return True


def _dispose_of_kept(owner: Engine) -> None:
    process, engine = _kept.pop(owner, (0, None))
    if engine is None:
        return
    if process == os.getpid():
        engine.sync_engine.dispose()
    else:
        keep(engine.sync_engine.pool)


async def _avoid_transaction(connection: AsyncConnection) -> None:
    """Run statements without a transaction if the database allows it; this saves round trips."""
    inner = connection.sync_connection
    if inner is not None and allows_autocommit(inner):
        await connection.execution_options(**dialect_of(connection.dialect).autocommit_options)


def _is_read_only(connection: Connection) -> bool:
    return dialect_of(connection.dialect).is_read_only(connection)
