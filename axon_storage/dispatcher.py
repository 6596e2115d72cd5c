"""StorageDispatcher, which forwards calls to a replaceable backend, and open_storage."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar, Unpack

from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage.backend import StorageBackend
from axon_storage.engine.url import hidden
from axon_storage.memory import InMemoryBackend
from axon_storage.model.health import Health
from axon_storage.model.requests import Request
from axon_storage.model.stats import StorageStats
from axon_storage.opening import OpenOptions, hide_password, open_backend
from axon_storage.repository import SqlRepository
from axon_storage.tenancy import TenantFallback

T = TypeVar("T")


@dataclass(slots=True)
class _Current:
    """The backend that a dispatcher and its tenant views share."""

    backend: StorageBackend


class StorageDispatcher(StorageBackend):
    """Forwards every call to a backend, which :meth:`switch_to` can replace."""

    def __init__(self, backend: StorageBackend) -> None:
        super().__init__()
        self._current = _Current(backend)

    @classmethod
    def in_memory(cls) -> Self:
        """Return a dispatcher with an :class:`InMemoryBackend`."""
        return cls(InMemoryBackend())

    @classmethod
    def sql(cls, engine: AsyncEngine) -> Self:
        """Return a dispatcher with a :class:`SqlRepository` for ``engine``. The schema is not checked."""
        return cls(SqlRepository(engine))

    @classmethod
    async def from_url(cls, url: str | None = None, **options: Unpack[OpenOptions]) -> Self:
        """Return a dispatcher with the backend for a URL. The options are those of :func:`open_storage`."""
        url = hidden(url)
        hide_password(options)
        return cls(await open_backend(url, **options))

    @property
    def backend(self) -> StorageBackend:
        """The current backend."""
        return self._current.backend

    def switch_to(self, backend: StorageBackend) -> StorageBackend:
        """Send all later calls to ``backend``, and return the previous backend, which the caller closes.

        Calls in progress finish on the previous backend.
        """
        previous, self._current.backend = self._current.backend, backend
        if previous.tenant_fallback.named:
            backend.tenant_fallback.named = True
        return previous

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        async with self.backend.transaction() as transaction:
            yield transaction if self._tenant is None else transaction.for_tenant(self._tenant)

    async def stats(self) -> StorageStats:
        return await self.backend.stats()

    async def is_healthy(self) -> bool:
        return await self.backend.is_healthy()

    async def health(self) -> Health:
        return await self.backend.health()

    def execute(self, request: Request[T]) -> Coroutine[Any, Any, T]:
        return self._current.backend.execute(request)

    def current_tenant(self, *, required: bool = False) -> str:
        return self._tenant or self.backend.current_tenant(required=required)

    @property
    def tenant_fallback(self) -> TenantFallback:
        return self.backend.tenant_fallback

    def _iteration_backend(self) -> StorageBackend:
        return self.backend

    def _describe(self) -> list[str]:
        return [repr(self.backend)]

    async def _close(self) -> None:
        await self.backend.close()


@asynccontextmanager
async def open_storage(url: str | None = None, **options: Unpack[OpenOptions]) -> AsyncIterator[StorageDispatcher]:
    """Open a storage for a block. Without ``url``, use the environment variable ``DATABASE_URL``.

    If neither is set, nothing is stored, and a warning is logged. With ``memory://``, nothing is stored. If the schema
    is missing, older or newer than this package's, raise a :class:`StorageConnectionError` that says how to fix it.
    The options, with their defaults, are those of :class:`axon_storage.opening.OpenOptions`::

        async with open_storage("postgresql://ada@db.example/agents", require_tenant=True) as storage:
            await storage.for_tenant("acme").load_traces(10)
    """
    url = hidden(url)
    hide_password(options)
    async with await StorageDispatcher.from_url(url, **options) as storage:
        yield storage
