"""Transaction: the methods of a storage inside one open transaction."""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar, cast

from axon_storage.backend import StorageBackend, outside_transaction
from axon_storage.engine.open_transaction import OpenTransaction
from axon_storage.errors import InvalidArgumentError, QueryError, StorageError
from axon_storage.model.health import Health
from axon_storage.model.maintenance import ForgetPruned, MaintenanceRequest, NotePruned
from axon_storage.model.requests import Request, WriteRequest
from axon_storage.model.seals import AddSeal, ForgetSeals
from axon_storage.model.stats import StorageStats
from axon_storage.sql.compiler import Compiler
from axon_storage.sql.unit_of_work import UnitOfWork, checked_first
from axon_storage.tenancy import TenantFallback

T = TypeVar("T")

_ALLOWED = (NotePruned, ForgetPruned, AddSeal, ForgetSeals)
"""Steps of runs that can be part of a transaction, which the move of a tenant needs."""


class Transaction(StorageBackend):
    """The object that ``transaction()`` of a :class:`SqlRepository` returns. Its methods run in one transaction.

    ``stats``: reads the size of the database. ``database``: the database URL that ``repr`` shows. ``load_keys``: is
    called before each request, if documents are encrypted.
    """

    def __init__(
        self,
        opened: OpenTransaction,
        compiler: Compiler,
        *,
        is_healthy: Callable[[], Awaitable[bool]],
        health: Callable[[], Awaitable[Health]],
        stats: UnitOfWork[StorageStats],
        database: str,
        tenant: str | None,
        fallback: TenantFallback,
        load_keys: Callable[[Request[Any]], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(tenant=tenant, fallback=fallback)
        self._opened, self._compiler, self._is_healthy, self._database = opened, compiler, is_healthy, database
        self._health, self._stats, self._monitor = health, stats, opened.monitor
        self._load_keys = load_keys

    def transaction(self) -> AbstractAsyncContextManager[StorageBackend]:
        raise QueryError("transactions cannot be nested", operation="transaction")

    async def stats(self) -> StorageStats:
        self._monitor.calls += 1
        with self._monitor.step("stats"):
            return await self._opened.run("stats", self._stats)

    async def is_healthy(self) -> bool:
        return await self._is_healthy()

    async def health(self) -> Health:
        return await self._health()

    def execute(self, request: Request[T]) -> Coroutine[Any, Any, T]:
        work = self._execute(request)
        return self._monitor.observe(request, work) if self._monitor.observers else work

    async def _execute(self, request: Request[T]) -> T:
        self._monitor.calls += 1
        try:
            if self._load_keys is not None:
                await self._load_keys(request)
            match request:
                case MaintenanceRequest() if not isinstance(request, _ALLOWED):
                    raise outside_transaction(request)
                case WriteRequest() if (check := self._compiler.check_ids(request)) is not None:
                    unit = checked_first(check, self._compiler.compile(request))
                    refusal, result = await self._opened.run(request.operation, unit)
                    if refusal is not None:  # raised here, so that it does not end the transaction
                        raise InvalidArgumentError(refusal, operation=request.operation)
                    return cast("T", result)
            return await self._opened.run(request.operation, self._compiler.compile(request))
        except StorageError as error:
            error.operation = error.operation or request.operation
            self._monitor.failed(error, request)
            raise

    def _describe(self) -> list[str]:
        return [self._database, "ended" if self._opened.is_over else "open"]

    async def _close(self) -> None:
        """Do nothing: the end of the ``async with`` block closes the transaction."""
