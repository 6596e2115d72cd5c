"""RoutedTransaction: a transaction() of a router, in the database of the tenant of its first call."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from axon_storage.backend import StorageBackend
from axon_storage.errors import QueryError, StorageConnectionError
from axon_storage.model.health import Health
from axon_storage.model.requests import Request
from axon_storage.model.stats import StorageStats
from axon_storage.model.validation import operation_context
from axon_storage.routing.block import Block
from axon_storage.routing.catalogue import Found

T = TypeVar("T")


class RoutedTransaction(StorageBackend):
    """The object that ``transaction()`` of a :class:`TenantRouter` returns. Its methods run in one transaction.

    ``find``: returns the placement of a tenant that may write. ``check``: raises an error if one is no longer in force.
    """

    def __init__(
        self,
        router: StorageBackend,
        block: Block,
        *,
        find: Callable[..., Awaitable[Found]],
        check: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(tenant=router.view_tenant, fallback=router.tenant_fallback)
        self._router, self._block, self._find, self._check = router, block, find, check

    async def begin(self, tenant: str) -> StorageBackend:
        """Return the transaction of the database of a tenant. The first call begins it."""
        # A block that has begun does not wait, because it may hold locks, and cannot go on in another database.
        found = await self._find(tenant, may_wait=not self._block.database)
        database = found.placement.database
        if tenant in self._block.found and database != self._block.database:
            message = f"{tenant!r} was moved to another database: repeat the block"
            raise StorageConnectionError(message, transient=True)
        if database != (self._block.database or database):
            message = f"a transaction() has one database: that of {tenant!r} is {database!r}, and it began in "
            raise QueryError(f"{message}{self._block.database!r}")
        self._block.found[tenant] = found
        return await self._block.begin(database)

    async def execute(self, request: Request[T]) -> T:
        with operation_context(request.operation), self._block.call():
            result = await (await self.begin(request.tenant)).execute(request)
            await self._check()
            return result

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
