"""RoutedTransaction: a transaction() of a router, in the database of the tenant of its first call."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from axon_storage.backend import StorageBackend
from axon_storage.errors import QueryError
from axon_storage.model.health import Health
from axon_storage.model.requests import Request
from axon_storage.model.stats import StorageStats
from axon_storage.model.validation import operation_context
from axon_storage.routing.block import Block

T = TypeVar("T")


class RoutedTransaction(StorageBackend):
    """The object that ``transaction()`` of a :class:`TenantRouter` returns. Its methods run in one transaction.

    ``database_of``: returns the name of the database of a tenant that may write.
    """

    def __init__(self, router: StorageBackend, block: Block, database_of: Callable[[str], Awaitable[str]]) -> None:
        super().__init__(tenant=router.view_tenant, fallback=router.tenant_fallback)
        self._router, self._block, self._database_of = router, block, database_of

    async def begin(self, tenant: str) -> StorageBackend:
        """Return the transaction of the database of a tenant. The first call begins it."""
        database = await self._database_of(tenant)
        if database != (self._block.database or database):
            message = f"a transaction() has one database: that of {tenant!r} is {database!r}, and it began in "
            raise QueryError(f"{message}{self._block.database!r}")
        return await self._block.begin(database)

    async def execute(self, request: Request[T]) -> T:
        with operation_context(request.operation), self._block.call():
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
        return [repr(self._block.transaction or "not begun"), "ended" if self._block.is_over else "open"]

    async def _close(self) -> None:
        """Do nothing: the end of the ``async with`` block closes the transaction."""
