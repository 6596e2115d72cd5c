"""The backend that keeps nothing: writes succeed, loads are empty."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from typing import TypeVar

from axon_storage.backend import StorageBackend
from axon_storage.errors import QueryError
from axon_storage.model.requests import Call

T = TypeVar("T")


class InMemoryBackend(StorageBackend):
    """A no-op, for a server whose own memory is enough; rows are checked as a real backend checks them."""

    _in_block = False

    def __init__(self, *, require_tenant: bool = False) -> None:
        self._require_tenant = require_tenant

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        if self._in_block:
            raise QueryError("a transaction inside a transaction", operation="transaction")
        block = copy(self)
        block._in_block = True
        yield block

    async def is_healthy(self) -> bool:
        return True

    async def _run(self, call: Call[T]) -> T:
        return call.on_nothing()

    async def _close(self) -> None:
        """Nothing is held."""
