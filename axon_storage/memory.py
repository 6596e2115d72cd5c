"""InMemoryBackend: validates rows and stores nothing, for servers that need no persistence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from uuid import UUID

from axon_storage.backend import StorageBackend, outside_transaction
from axon_storage.errors import ClosedError, QueryError
from axon_storage.model.ids import new_id
from axon_storage.model.maintenance import CountPruned, ForgetPruned, ListOld, MaintenanceRequest, OldRows
from axon_storage.model.requests import (
    Append,
    Create,
    Delete,
    DeleteRange,
    EvictExpired,
    Get,
    ListByIds,
    ListByKey,
    ListByKeys,
    ListNewest,
    ListPage,
    ListRecentIds,
    ListScopes,
    ListTenants,
    RecentIds,
    Request,
    Save,
    Summarize,
)
from axon_storage.model.rows import ROW_TYPES
from axon_storage.model.seals import CountSeals, ForgetSeals
from axon_storage.model.stats import StorageStats, TableStats

T = TypeVar("T")


_LISTS = (ListByIds, ListByKey, ListByKeys, ListNewest, ListPage, ListScopes, ListTenants, Summarize)


@dataclass(slots=True)
class _State:
    """What a backend, its views and its transactions share: whether it is closed, which ends ``follow_events``."""

    closed: bool = False


class InMemoryBackend(StorageBackend):
    """Stores nothing: writes succeed, lists are empty, deletes find no row.

    Rows are validated as by other backends, so that a test with this backend finds values that they would refuse.
    """

    def __init__(self, *, require_tenant: bool = False) -> None:
        super().__init__(require_tenant=require_tenant)
        self._in_transaction = False
        self._state = _State()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        if self._in_transaction:
            raise QueryError("transactions cannot be nested", operation="transaction")
        inner = copy(self)
        inner._in_transaction = True
        yield inner

    async def stats(self) -> StorageStats:
        tables = [
            TableStats(table=row_type.TABLE, rows=0, is_exact=True, bytes=0, oldest=None, newest=None)
            for row_type in ROW_TYPES
        ]
        return StorageStats(database="no database", server_version="", revision=None, tables=tuple(tables))

    async def is_healthy(self) -> bool:
        return True

    async def execute(self, request: Request[T]) -> T:
        result: Any
        match request:
            case MaintenanceRequest() if self._in_transaction:
                raise outside_transaction(request)
            case ListOld():
                result = OldRows([], [], None)
            case CountPruned() | ForgetPruned() | CountSeals() | ForgetSeals():
                result = 0
            case MaintenanceRequest():
                result = None
            case Append():
                result = request.id or new_id()
            case Create():
                result = True
            case Save() | Get():
                result = None
            case Delete() | DeleteRange() | EvictExpired():
                result = 0
            case ListRecentIds():
                if self._state.closed:
                    raise ClosedError("this storage is closed", operation=request.operation)
                result = RecentIds([], UUID(int=0))
            case _ if isinstance(request, _LISTS):
                result = []
            case _:
                raise NotImplementedError(type(request).__name__)
        return cast("T", result)  # match does not narrow T

    def _describe(self) -> list[str]:
        return ["transaction"] if self._in_transaction else []

    async def _close(self) -> None:
        self._state.closed = True
