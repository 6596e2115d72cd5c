"""StorageDispatcher, which holds the configured backend and can change it while running, and open_storage."""

import logging
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import schema
from axon_storage.backend import StorageBackend
from axon_storage.dialects import dialect_of
from axon_storage.engine.create import create_engine
from axon_storage.engine.executor import DEFAULT_TIMEOUT, Retry
from axon_storage.engine.timeouts import check_timeout
from axon_storage.memory import InMemoryBackend
from axon_storage.model.ids import Clock
from axon_storage.model.requests import Call
from axon_storage.repository import SqlRepository

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Held:
    """The backend that a dispatcher and its views share."""

    backend: StorageBackend


class StorageDispatcher(StorageBackend):
    """Passes every method on to the backend it holds."""

    def __init__(self, backend: StorageBackend) -> None:
        self._held = _Held(backend)

    @classmethod
    def in_memory(cls) -> Self:
        """Hold a backend that keeps nothing."""
        return cls(InMemoryBackend())

    @classmethod
    def sql(cls, engine: AsyncEngine) -> Self:
        """Hold a repository on an engine; its schema is not looked at."""
        return cls(SqlRepository(engine))

    @classmethod
    async def from_url(
        cls,
        url: str | None = None,
        *,
        migrate: bool | None = None,
        allow_ahead: bool = False,
        require_tenant: bool = False,
        pool_size: int = 5,
        max_overflow: int = 10,
        pool_timeout: float = 30.0,
        connect_timeout: float = 10.0,
        retry_attempts: int = Retry.attempts,
        retry_deadline: float = Retry.deadline,
        operation_timeout: float = DEFAULT_TIMEOUT,
        group_commit: bool = True,
        clock: Clock | None = None,
    ) -> Self:
        """Open what a URL names; the options are those of :func:`open_storage`."""
        retry = Retry(attempts=retry_attempts, deadline=retry_deadline)
        check_timeout(operation_timeout)
        url = url or os.environ.get("DATABASE_URL")
        if not url:
            _log.warning("no database URL is given and DATABASE_URL is not set: nothing will be kept")
        if not url or url.startswith("memory://"):
            return cls(InMemoryBackend(require_tenant=require_tenant))
        engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=pool_timeout,
            connect_timeout=connect_timeout,
        )
        try:
            if dialect_of(engine.dialect).embedded if migrate is None else migrate:
                await schema.upgrade(engine)
            await schema.check(engine, allow_ahead=allow_ahead)
        except BaseException:
            await engine.dispose()
            raise
        return cls(
            SqlRepository(
                engine,
                clock=clock,
                require_tenant=require_tenant,
                retry=retry,
                operation_timeout=operation_timeout,
                group_commit=group_commit,
            )
        )

    @property
    def backend(self) -> StorageBackend:
        """The backend that calls go to now."""
        return self._held.backend

    def switch_to(self, backend: StorageBackend) -> StorageBackend:
        """Send all later calls to ``backend``; calls under way end on the old one, which is given back to close."""
        old, self._held.backend = self._held.backend, backend
        return old

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        async with self._held.backend.transaction() as block:
            yield block if self._view_of is None else block.for_tenant(self._view_of)

    async def is_healthy(self) -> bool:
        return await self._held.backend.is_healthy()

    def _run(self, call: Call[T]) -> Coroutine[Any, Any, T]:
        return self._held.backend._run(call)

    async def _close(self) -> None:
        await self._held.backend.close()

    def _carrier(self) -> StorageBackend:
        return self._held.backend

    def _tenant(self) -> str:
        return self._view_of or self._held.backend._tenant()


@asynccontextmanager
async def open_storage(
    url: str | None = None,
    *,
    migrate: bool | None = None,
    allow_ahead: bool = False,
    require_tenant: bool = False,
    pool_size: int = 5,
    max_overflow: int = 10,
    pool_timeout: float = 30.0,
    connect_timeout: float = 10.0,
    retry_attempts: int = Retry.attempts,
    retry_deadline: float = Retry.deadline,
    operation_timeout: float = DEFAULT_TIMEOUT,
    group_commit: bool = True,
    clock: Clock | None = None,
) -> AsyncIterator[StorageDispatcher]:
    """Open the storage that ``url``, else ``DATABASE_URL``, names; close it at the block's end.

    With neither, or with ``memory://``, nothing is kept; the former is told by a warning in the log.

    ``migrate``: bring the schema up first; by default on SQLite alone. A schema that is missing, behind or ahead
    is else a :class:`StorageConnectionError`. ``allow_ahead``: take a newer schema, during a rolling deploy.
    ``require_tenant``: refuse calls that name no tenant instead of taking ``"default"``. ``pool_size``,
    ``max_overflow``, ``pool_timeout`` and ``connect_timeout`` (seconds): as in :func:`create_engine`. ``clock``:
    nanoseconds since 1970, for ids and the cache's expiry. ``retry_attempts`` and ``retry_deadline`` (seconds): how
    often, and for how long, a call that met a transient failure is tried again. ``operation_timeout`` (seconds): what a
    call may take in all, its attempts together; :func:`axon_storage.operation_timeout` sets another for a block.
    ``group_commit``: saves, appends and deletes that wait at the same moment go together, in one transaction; without
    it each has one of its own.
    """
    storage = await StorageDispatcher.from_url(
        url,
        migrate=migrate,
        allow_ahead=allow_ahead,
        require_tenant=require_tenant,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_timeout,
        connect_timeout=connect_timeout,
        retry_attempts=retry_attempts,
        retry_deadline=retry_deadline,
        operation_timeout=operation_timeout,
        group_commit=group_commit,
        clock=clock,
    )
    async with storage:
        yield storage
