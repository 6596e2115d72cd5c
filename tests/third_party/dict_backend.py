"""DictBackend keeps rows in dicts: somebody's own backend, which docs/tutorials/own-backend.md explains."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from operator import ge, gt, lt
from typing import Any, TypeVar, cast
from uuid import UUID

from axon_storage import QueryError, Recorded, Row, StorageBackend, StorageStats, TableStats, TraceRow, new_id
from axon_storage.backend import outside_transaction
from axon_storage.errors import ClosedError
from axon_storage.model import maintenance, requests, seals
from axon_storage.model.ids import EPOCH, first_id, timestamp_of
from axon_storage.model.requests import Request
from axon_storage.model.rows import ROW_TYPES, CheckedRow
from axon_storage.model.summaries import PERIODS, Summary

T = TypeVar("T")

WRITES = (requests.WriteRequest, requests.EvictExpired, maintenance.DeleteOld)  # they change rows


# --8<-- [start:state]
@dataclass(frozen=True)
class Stored:
    """A stored row, the id that gives its place in the order of its table, and the time of its last save."""

    checked: CheckedRow
    id: UUID
    saved: datetime

    def key(self) -> tuple[Any, ...]:
        """Return the primary key: the tenant, and the fields of the key or else the id."""
        values = self.checked.values
        own = [values[name] for name in self.checked.row_type.KEY] or [self.id]
        return (values["tenant_id"], *own)

    def is_expired(self) -> bool:
        """Return whether a cached result has reached the end of its time to live."""
        ttl = self.checked.values.get("ttl_secs")
        return ttl is not None and self.saved + timedelta(seconds=ttl) <= datetime.now(UTC)

    def is_old(self, before: datetime | None) -> bool:
        """Return whether the row was recorded or last saved before a time (None: at any time)."""
        has_id = self.checked.row_type is TraceRow or not self.checked.row_type.KEY
        return before is None or (timestamp_of(self.id) if has_id else self.saved) < before

    def recorded(self) -> Recorded[Any]:
        """Return the row with its id and timestamp."""
        return Recorded(self.id, timestamp_of(self.id), self.checked.to_row())


Tables = dict[type[Row], dict[tuple[Any, ...], Stored]]


@dataclass
class State:
    """What a storage shares with its views and transactions."""

    tables: Tables = field(default_factory=lambda: {row_type: {} for row_type in ROW_TYPES})
    writer: asyncio.Lock = field(default_factory=asyncio.Lock)
    in_transaction: asyncio.Task[Any] | None = None
    closed: bool = False


# --8<-- [end:state]
# --8<-- [start:backend]
class DictBackend(StorageBackend):
    """Keeps rows in dicts. One writer at a time: a transaction makes other writers wait."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.tables: Tables | None = None  # those of a transaction
        self.is_over = False

    async def execute(self, request: Request[T]) -> T:
        """Execute a request: a write of a storage waits for the transaction in progress."""
        if self.is_over:
            raise QueryError("this transaction is over", operation=request.operation)
        if self.state.closed:
            raise ClosedError("this storage is closed", operation=request.operation)
        if self.tables is not None:
            if isinstance(request, maintenance.MaintenanceRequest):
                raise outside_transaction(request)
            return cast("T", Calls(self.tables).execute(request))
        if not isinstance(request, WRITES):
            return cast("T", Calls(self.state.tables).execute(request))
        async with self._only_writer(request.operation):
            return cast("T", Calls(self.state.tables).execute(request))

    @asynccontextmanager
    async def _only_writer(self, operation: str) -> AsyncIterator[None]:
        if self.state.in_transaction is asyncio.current_task():  # it would wait for itself
            raise QueryError("this task is inside a transaction() of this storage", operation=operation)
        async with self.state.writer:
            yield

    def transaction(self) -> AbstractAsyncContextManager[StorageBackend]:
        """Open a transaction."""
        if self.tables is not None:
            raise QueryError("transactions cannot be nested", operation="transaction")
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[StorageBackend]:
        async with self._only_writer("transaction"):
            inner, self.state.in_transaction = copy(self), asyncio.current_task()
            inner.tables = {row_type: dict(table) for row_type, table in self.state.tables.items()}
            try:
                yield inner
                self.state.tables = inner.tables
            finally:
                inner.is_over, self.state.in_transaction = True, None

    async def stats(self) -> StorageStats:
        """Return the number of rows of each table."""
        found = [
            TableStats(table=row_type.TABLE, rows=len(table), is_exact=True, bytes=None, oldest=None, newest=None)
            for row_type, table in (self.tables or self.state.tables).items()
        ]
        return StorageStats(database="dict", server_version="", revision=None, tables=tuple(found))

    async def is_healthy(self) -> bool:
        """Return whether the storage is open."""
        return not self.state.closed

    async def _close(self) -> None:
        self.state.closed = self.state.closed or self.tables is None


# --8<-- [end:backend]
# --8<-- [start:calls]
class Calls:
    """Executes requests on tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def execute(self, request: Request[Any]) -> Any:  # noqa: PLR0911, PLR0912  # one case for each kind of request
        """Execute a request."""
        match request:
            case requests.Save():
                for checked in request.rows:
                    self._put(checked, checked.id, keep=request.keep_existing)
                return None
            case requests.Append():
                return self._put(request.row, request.id)[0].id
            case requests.Create():
                return self._put(request.row, None, keep=True)[1]
            case requests.Delete():
                return sum(self._tables[request.row_type].pop(key, None) is not None for key in _keys(request))
            case requests.DeleteRange():
                return self._remove(self._by_key(request.row_type, request.tenant, request.prefix, request.bounds))
            case requests.EvictExpired():
                found = self._of_tenant(request.row_type, request.tenant, {})
                return self._remove([stored for stored in found if stored.is_expired()])
            case requests.Get():
                stored = self._tables[request.row_type].get((request.tenant, *request.key.values()))
                return None if stored is None or stored.is_expired() else stored.checked.to_row()
            case requests.ListByKey():
                return self._list_by_key(request)
            case requests.ListByKeys():
                table = self._tables[request.row_type]
                keys = sorted(_keys(request) & table.keys(), reverse=request.reverse)
                return [table[key].checked.to_row() for key in keys]
            case requests.ListNewest():
                newest = self._by_id(request.row_type, request.tenant, request.where, *_ALL)[::-1]
                return [stored.checked.to_row() for stored in newest[request.offset :][: request.limit]]
            case requests.ListPage():
                return self._list_page(request)
            case requests.ListByIds():
                recent = self._by_id(request.row_type, request.tenant, {}, *_ALL)
                return [stored.recorded() for stored in recent if stored.id in request.ids]
            case requests.ListRecentIds():
                return self._list_recent_ids(request)
            case requests.ListScopes():
                entries = self._by_key(request.row_type, request.tenant, {}, request.bounds)
                return list(dict.fromkeys(stored.key()[1] for stored in entries))[: request.limit]
            case requests.Summarize():
                return self._summarize(request)
            case maintenance.ListOld():
                return self._list_old(request)
            case maintenance.DeleteOld():
                return self._delete_old(request)
            case requests.ListTenants():
                return sorted({key[0] for table in self._tables.values() for key in table})
            case maintenance.TakeLease() | maintenance.ReleaseLease():
                return None  # a run never waits, so there is only one at a time
            case maintenance.CountPruned() | maintenance.ForgetPruned() | seals.CountSeals() | seals.ForgetSeals():
                return 0  # nothing is recorded, and there are no seals
        raise NotImplementedError(type(request).__name__)

    def _put(self, checked: CheckedRow, row_id: UUID | None, *, keep: bool = False) -> tuple[Stored, bool]:
        """Store a row; return what is stored, and whether its key did not exist."""
        table = self._tables[checked.row_type]
        new = Stored(checked, row_id or new_id(), datetime.now(UTC))
        old = table.get(new.key())
        if old is None:
            table[new.key()] = new
        elif checked.row_type.KEY and not keep:
            table[new.key()] = Stored(checked, old.id, new.saved)
        return table[new.key()], old is None

    def _remove(self, found: list[Stored]) -> int:
        for stored in found:
            del self._tables[stored.checked.row_type][stored.key()]
        return len(found)

    # --8<-- [end:calls]
    # --8<-- [start:reads]
    def _of_tenant(self, row_type: type[Row], tenant: str, where: Mapping[str, Any]) -> Iterator[Stored]:
        """Yield the rows of a tenant whose fields equal ``where``."""
        for stored in self._tables[row_type].values():
            if {"tenant_id": tenant, **where}.items() <= stored.checked.values.items():
                yield stored

    def _by_key(
        self, row_type: type[Row], tenant: str, prefix: Mapping[str, Any], bounds: Mapping[str, Any]
    ) -> list[Stored]:
        """Return the rows whose key begins with ``prefix`` and is within the bounds, in the order of the keys."""
        found = sorted(self._of_tenant(row_type, tenant, prefix), key=Stored.key)
        if not bounds:
            return found
        name = row_type.KEY[len(prefix)]
        return [stored for stored in found if _within(stored.checked.values[name], bounds)]

    def _by_id(
        self, row_type: type[Row], tenant: str, where: Mapping[str, Any], after: UUID, before: UUID
    ) -> list[Stored]:
        """Return the rows with ids between two others, the oldest first."""
        found = self._of_tenant(row_type, tenant, where)
        return sorted((stored for stored in found if after < stored.id < before), key=lambda stored: stored.id)

    def _list_by_key(self, request: requests.ListByKey[Any]) -> list[Row]:
        found = self._by_key(request.row_type, request.tenant, request.prefix, request.bounds)
        alive = [stored for stored in found if not stored.is_expired()]
        return [stored.checked.to_row() for stored in alive[:: -1 if request.reverse else 1][: request.limit]]

    def _list_page(self, request: requests.ListPage[Any]) -> list[Recorded[Any]]:
        found = self._by_id(request.row_type, request.tenant, request.where, request.after, request.before)
        return [stored.recorded() for stored in found[:: -1 if request.reverse else 1][: request.limit]]

    def _list_recent_ids(self, request: requests.ListRecentIds) -> requests.RecentIds:
        horizon = first_id(datetime.now(UTC) - timedelta(seconds=request.seconds))
        after = horizon if request.after is None else request.after
        found = self._by_id(request.row_type, request.tenant, request.where, after, request.before)
        return requests.RecentIds([stored.id for stored in found], horizon)

    # --8<-- [end:reads]
    # --8<-- [start:rest]
    def _summarize(self, request: requests.Summarize[Any]) -> list[Summary]:
        groups: dict[tuple[Any, ...], list[Stored]] = {}
        kind = request.summary_type
        for stored in self._by_id(kind.ROW, request.tenant, request.where, request.after, request.before):
            groups.setdefault(tuple(_group(stored, kind, name) for name in request.by), []).append(stored)
        names = [name if name in kind.GROUPS else "period" for name in request.by]
        return [_summary(kind, dict(zip(names, key, strict=True)), groups[key]) for key in sorted(groups)]

    def _list_old(self, request: maintenance.ListOld) -> maintenance.OldRows:
        found = self._of_tenant(request.row_type, request.tenant, request.where)
        return maintenance.OldRows([stored.key()[1:] for stored in found if stored.is_old(request.before)], [], None)

    def _delete_old(self, request: maintenance.DeleteOld) -> int:
        found = [self._tables[request.row_type].get((request.tenant, *key)) for key in request.keys]
        return self._remove([stored for stored in found if stored is not None and stored.is_old(request.before)])


# --8<-- [end:rest]
_ALL = (UUID(int=0), UUID(int=2**128 - 1))
_COMPARE = {"at_least": ge, "above": gt, "below": lt}


def _keys(request: requests.Delete | requests.ListByKeys[Any]) -> set[tuple[Any, ...]]:
    return {(request.tenant, *request.prefix.values(), value) for value in request.last}


def _within(value: Any, bounds: Mapping[str, Any]) -> bool:
    return all(_COMPARE[name](value, limit) for name, limit in bounds.items())


def _group(stored: Stored, kind: type[Summary], name: str) -> Any:
    """Return the value of a group: a field, or the start of a period."""
    if name in kind.GROUPS:
        return stored.checked.values[kind.GROUPS[name]]
    period = timedelta(milliseconds=PERIODS[name])
    return EPOCH + (timestamp_of(stored.id) - EPOCH) // period * period


def _summary(kind: type[Summary], groups: dict[str, Any], members: list[Stored]) -> Summary:
    names = {member.name for member in fields(kind)} - {*kind.GROUPS, "period", kind.COUNT}
    sums = {name: sum(stored.checked.values[name] for stored in members) for name in names}
    return kind(**{**dict.fromkeys([*kind.GROUPS, "period"]), **groups, **sums, kind.COUNT: len(members)})
