"""The backend that keeps nothing: writes succeed, loads are empty."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from axon_storage.backend import StorageBackend
from axon_storage.calls import Call

T = TypeVar("T")


class InMemoryBackend(StorageBackend):
    """A no-op, for a server whose own memory is enough; rows are checked as a real backend checks them."""

    def __init__(self, *, require_tenant: bool = False) -> None:
        self._require_tenant = require_tenant

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        yield self

    async def is_healthy(self) -> bool:
        return True

    async def _run(self, call: Call[T]) -> T:
        return call.on_nothing()

    async def _close(self) -> None:
        """Nothing is held."""
