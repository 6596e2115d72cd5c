"""Block: the transaction of a router's ``transaction()`` block, which begins with the first call.

A task of its own opens and ends the transaction, because tasks of the block may make the first call together, and the
storage of the database keeps in mind which task opened a transaction.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context

from axon_storage.backend import StorageBackend
from axon_storage.errors import QueryError, StorageError
from axon_storage.routing.catalogue import Found
from axon_storage.routing.storages import OpenStorages

_OVER = "this transaction is over"


class _RolledBackError(Exception):
    """Ends the transaction after an error of the block that is not a StorageError."""


class Block:
    """At most one transaction, in one database."""

    def __init__(self, storages: OpenStorages) -> None:
        self._storages, self._context = storages, copy_context()
        self._begun: asyncio.Future[StorageBackend] = asyncio.get_running_loop().create_future()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._holder: asyncio.Task[None] | None = None
        self._calls, self._idle = 0, asyncio.Event()
        self.database = ""
        self.found = dict[str, Found]()
        """The placements of the tenants of the calls."""
        self.is_over = False

    @property
    def transaction(self) -> StorageBackend | None:
        """The transaction, if it has begun."""
        return self._begun.result() if self._begun.done() and self._begun.exception() is None else None

    @contextmanager
    def call(self) -> Iterator[None]:
        """Register a call, for which the end of the block waits."""
        if self.is_over:
            raise QueryError(_OVER)
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()

    async def begin(self, database: str) -> StorageBackend:
        """Return the transaction. The first call begins it; a later call must be about the same database."""
        if self._holder is None:
            self.database = database
            self._holder = asyncio.create_task(self._hold(database), context=self._context)
            self._holder.add_done_callback(self._has_ended)
        return await asyncio.shield(self._begun)

    async def end(self, error: BaseException | None) -> None:
        """Wait for the calls of other tasks, then commit; or roll back because of the error of the block."""
        self.is_over = True
        if error is None:
            while self._calls:
                self._idle.clear()
                await self._idle.wait()
            self._end.set_result(None)
            if self._holder is not None:
                await self._holder
        elif self._holder is not None:
            self._end.set_exception(error if isinstance(error, StorageError) else _RolledBackError())
            self._end.exception()  # marks it as retrieved, because the task may end before
            if not self._begun.done():
                self._holder.cancel()
            await asyncio.wait({self._holder})

    async def _hold(self, database: str) -> None:
        async with self._storages.use(database) as storage, storage.transaction() as transaction:
            self._begun.set_result(transaction)
            await self._end

    def _has_ended(self, holder: asyncio.Task[None]) -> None:
        error = QueryError(_OVER) if holder.cancelled() else holder.exception()
        if error is not None and not self._begun.done():
            self._begun.set_exception(error)
            self._begun.exception()  # as above
