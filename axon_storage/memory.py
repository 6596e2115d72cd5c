"""InMemoryBackend: validates rows and stores nothing, for servers that need no persistence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from typing import Any, TypeVar, cast

from axon_storage.backend import StorageBackend, outside_transaction
from axon_storage.errors import QueryError
from axon_storage.model.ids import new_id
from axon_storage.model.requests import (
    Append,
    Delete,
    EvictExpired,
    Get,
    ListByKey,
    ListNewest,
    ListOld,
    ListPage,
    ListScopes,
    ListTenants,
    MaintenanceRequest,
    OldRows,
    Request,
    Save,
)

T = TypeVar("T")


class InMemoryBackend(StorageBackend):
    """Stores nothing: writes succeed, lists are empty, deletes find no row.

    Rows are validated as by other backends, so that a test with this backend finds values that they would refuse.
    """

    def __init__(self, *, require_tenant: bool = False) -> None:
        super().__init__(require_tenant=require_tenant)
        self._in_transaction = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        if self._in_transaction:
            raise QueryError("transactions cannot be nested", operation="transaction")
        inner = copy(self)
        inner._in_transaction = True
        yield inner

    async def is_healthy(self) -> bool:
        return True

    async def execute(self, request: Request[T]) -> T:
        result: Any
        match request:
            case MaintenanceRequest() if self._in_transaction:
                raise outside_transaction(request)
            case ListOld():
                result = OldRows([], [], None)
            case MaintenanceRequest():
                result = None
            case Append():
                result = request.id or new_id()
            case Save() | Get():
                result = None
            case Delete() | EvictExpired():
                result = 0
            case ListByKey() | ListNewest() | ListPage() | ListScopes() | ListTenants():
                result = []
            case _:
                raise NotImplementedError(type(request).__name__)
        return cast("T", result)  # match does not narrow T

    def _describe(self) -> list[str]:
        return ["transaction"] if self._in_transaction else []

    async def _close(self) -> None:
        """Do nothing."""
