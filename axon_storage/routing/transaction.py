"""RoutedTransaction: a transaction() of a router, in the database of the tenant of its first call."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

from axon_storage.backend import StorageBackend
from axon_storage.errors import QueryError
from axon_storage.model.health import Health
from axon_storage.model.requests import Request
from axon_storage.model.stats import StorageStats
from axon_storage.model.validation import operation_context
from axon_storage.routing.storages import OpenStorages

T = TypeVar("T")


@dataclass(slots=True)
class Block:
    """What a transaction and its views share. ``stack``: is closed at the end of the ``task``'s block."""

    stack: AsyncExitStack
    task: asyncio.Task[Any] | None
    database: str = ""
    transaction: StorageBackend | None = None
    over: bool = False


class RoutedTransaction(StorageBackend):
    """The object that ``transaction()`` of a :class:`TenantRouter` returns. Its methods run in one transaction.

    ``database_of``: returns the name of the database of a tenant that may write.
    """

    def __init__(
        self,
        router: StorageBackend,
        block: Block,
        storages: OpenStorages,
        database_of: Callable[[str], Awaitable[str]],
    ) -> None:
        super().__init__(tenant=router.view_tenant, fallback=router.tenant_fallback)
        self._router, self._block, self._storages, self._database_of = router, block, storages, database_of

    async def begin(self, tenant: str) -> StorageBackend:
        """Return the transaction of the database of a tenant. The first call begins it."""
        block = self._block
        if block.over:
            raise QueryError("this transaction is over")
        database = await self._database_of(tenant)
        if block.transaction is None:
            await self._open(database)
        if block.transaction is None or database != block.database:
            message = f"a transaction() has one database: that of {tenant!r} is {database!r}, and it began in "
            raise QueryError(f"{message}{block.database!r}")
        return block.transaction

    async def _open(self, database: str) -> None:
        block = self._block
        if asyncio.current_task() is not block.task:  # the block's own task must be known to the storage
            raise QueryError(
                "the first call of a transaction() must be made by the task of the block: make it there, or open the "
                "transaction by for_tenant(...).transaction()"
            )
        storage = await block.stack.enter_async_context(self._storages.use(database))
        block.transaction = await block.stack.enter_async_context(storage.transaction())
        block.database = database

    async def execute(self, request: Request[T]) -> T:
        with operation_context(request.operation):
            return await (await self.begin(request.tenant)).execute(request)

    def transaction(self) -> AbstractAsyncContextManager[StorageBackend]:
        raise QueryError("transactions cannot be nested", operation="transaction")

    async def stats(self) -> StorageStats:
        return await (self._block.transaction or self._router).stats()

    async def is_healthy(self) -> bool:
        return await (self._block.transaction or self._router).is_healthy()

    async def health(self) -> Health:
        return await (self._block.transaction or self._router).health()

    def _describe(self) -> list[str]:
        return [repr(self._block.transaction or "not begun"), "ended" if self._block.over else "open"]

    async def _close(self) -> None:
        """Do nothing: the end of the ``async with`` block closes the transaction."""
