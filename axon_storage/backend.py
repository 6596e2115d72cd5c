"""Every public method of a storage, written once over the calls a backend carries out."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from copy import copy
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from axon_storage.calls import Append, Call, Delete, Evict, Get, InOrder, Newest, Save, Scopes, Tenants
from axon_storage.errors import SerializationError, StorageError, TenantMismatchError
from axon_storage.ids import check_id
from axon_storage.rows import (
    ROW_TYPES,
    AuditRow,
    AxonStoreRow,
    CacheRow,
    CheckedRow,
    CostRow,
    DaemonRow,
    DataspaceRow,
    EventRow,
    HibernationRow,
    Row,
    ScheduleRow,
    SessionRow,
    TraceRow,
    check_field,
    check_row,
)
from axon_storage.tenancy import check_tenant, current_tenant

T = TypeVar("T")
R = TypeVar("R", bound=Row)

_LONGEST_PAGE = 2**63 - 1


class StorageBackend(ABC):
    """What an agent server stores and restores, one method a sentence of the contract.

    Whatever is outside the domain is refused with a :class:`SerializationError` before anything is sent; a row of
    another tenant than the call's with a :class:`TenantMismatchError`; a database's own failures are a
    :class:`StorageConnectionError` or :class:`QueryError`. A call that returns has committed. Saves replace the
    whole row. ``load_traces`` and the ``query_*`` give newest first, all other lists come in key order.
    """

    _view_of: str | None = None
    _require_tenant: bool = False

    # Traces.

    async def save_trace(self, trace: TraceRow) -> None:
        """Store a trace, or replace the one of the same ``trace_id`` without moving it in the order."""
        await self._save("save_trace", TraceRow, trace)

    async def load_traces(self, limit: int, offset: int = 0) -> list[TraceRow]:
        """Give up to ``limit`` traces, newest first by first save, after the ``offset`` newest."""
        return await self._newest("load_traces", TraceRow, limit, offset)

    async def get_trace(self, trace_id: int) -> TraceRow | None:
        """Give one trace, or None."""
        return await self._get("get_trace", TraceRow, trace_id)

    async def delete_traces(self, ids: Iterable[int]) -> int:
        """Delete traces, however many, in one transaction; unknown ids are ignored. Give how many went."""
        return await self._delete("delete_traces", TraceRow, last=ids)

    # Sessions.

    async def save_session(self, entry: SessionRow) -> None:
        """Store a session's entry, or replace the one of the same scope and key."""
        await self._save("save_session", SessionRow, entry)

    async def load_sessions(self, scope: str) -> list[SessionRow]:
        """Give all entries of a scope, by key."""
        return await self._in_order("load_sessions", SessionRow, scope)

    async def get_session(self, scope: str, key: str) -> SessionRow | None:
        """Give one entry, or None."""
        return await self._get("get_session", SessionRow, scope, key)

    async def delete_session(self, scope: str, key: str) -> bool:
        """Delete one entry; False where there was none."""
        return await self._delete("delete_session", SessionRow, scope, last=[key]) > 0

    async def session_scopes(self) -> list[str]:
        """Give the scopes that have entries; takes time with their number, not with that of the entries."""
        return await self._run(Scopes(operation="session_scopes", tenant=self._tenant(), row_type=SessionRow))

    # Daemons.

    async def save_daemon(self, daemon: DaemonRow) -> None:
        """Store a daemon, or replace the one of the same name."""
        await self._save("save_daemon", DaemonRow, daemon)

    async def load_daemons(self) -> list[DaemonRow]:
        """Give all daemons, by name."""
        return await self._in_order("load_daemons", DaemonRow)

    async def delete_daemon(self, name: str) -> bool:
        """Delete one daemon; False where there was none."""
        return await self._delete("delete_daemon", DaemonRow, last=[name]) > 0

    # The audit log.

    async def append_audit(self, entry: AuditRow, id: UUID | None = None) -> UUID:  # noqa: A002  # the contract's name
        """Append an entry and give the id it is stored under; an ``id`` that is there already stores nothing."""
        return await self._append("append_audit", AuditRow, entry, id)

    async def query_audit(self, limit: int) -> list[AuditRow]:
        """Give up to ``limit`` entries, newest first."""
        return await self._newest("query_audit", AuditRow, limit)

    # Stores.

    async def save_axon_store(self, store: AxonStoreRow) -> None:
        """Store a store, or replace the one of the same name."""
        await self._save("save_axon_store", AxonStoreRow, store)

    async def load_axon_stores(self) -> list[AxonStoreRow]:
        """Give all stores, by name."""
        return await self._in_order("load_axon_stores", AxonStoreRow)

    async def delete_axon_store(self, name: str) -> bool:
        """Delete one store; False where there was none."""
        return await self._delete("delete_axon_store", AxonStoreRow, last=[name]) > 0

    # Dataspaces.

    async def save_dataspace(self, dataspace: DataspaceRow) -> None:
        """Store a dataspace, or replace the one of the same name."""
        await self._save("save_dataspace", DataspaceRow, dataspace)

    async def load_dataspaces(self) -> list[DataspaceRow]:
        """Give all dataspaces, by name."""
        return await self._in_order("load_dataspaces", DataspaceRow)

    async def delete_dataspace(self, name: str) -> bool:
        """Delete one dataspace; False where there was none."""
        return await self._delete("delete_dataspace", DataspaceRow, last=[name]) > 0

    # Hibernated agents.

    async def save_hibernation(self, session: HibernationRow) -> None:
        """Store a hibernated agent, or replace the one of the same id."""
        await self._save("save_hibernation", HibernationRow, session)

    async def load_hibernations(self) -> list[HibernationRow]:
        """Give all hibernated agents, by id."""
        return await self._in_order("load_hibernations", HibernationRow)

    async def delete_hibernation(self, id: str) -> bool:  # noqa: A002  # the contract's name
        """Delete one hibernated agent; False where there was none."""
        return await self._delete("delete_hibernation", HibernationRow, last=[id]) > 0

    # Events.

    async def append_event(self, event: EventRow, id: UUID | None = None) -> UUID:  # noqa: A002  # the contract's name
        """Append an event and give the id it is stored under; an ``id`` that is there already stores nothing."""
        return await self._append("append_event", EventRow, event, id)

    async def query_events(self, topic: str | None, limit: int) -> list[EventRow]:
        """Give up to ``limit`` events of a topic, or of all with None, newest first."""
        return await self._newest("query_events", EventRow, limit, topic=topic)

    # The cache.

    async def save_cache_entry(self, entry: CacheRow) -> None:
        """Store a result, or replace the one of the same flow and key; its time to live starts now."""
        await self._save("save_cache_entry", CacheRow, entry)

    async def load_cache_entries(self) -> list[CacheRow]:
        """Give all results that have not expired, by flow and key."""
        return await self._in_order("load_cache_entries", CacheRow)

    async def get_cache_entry(self, flow_name: str, cache_key: str) -> CacheRow | None:
        """Give one result, or None where there is none or it has expired."""
        return await self._get("get_cache_entry", CacheRow, flow_name, cache_key)

    async def delete_cache_entry(self, flow_name: str, cache_key: str) -> bool:
        """Delete one result, expired or not; False where there was none."""
        return await self._delete("delete_cache_entry", CacheRow, flow_name, last=[cache_key]) > 0

    async def evict_expired_cache(self) -> int:
        """Delete the results that have expired. Give how many went."""
        return await self._run(Evict(operation="evict_expired_cache", tenant=self._tenant(), row_type=CacheRow))

    # Costs.

    async def record_cost(self, cost: CostRow, id: UUID | None = None) -> UUID:  # noqa: A002  # the contract's name
        """Append a cost and give the id it is stored under; an ``id`` that is there already stores nothing."""
        return await self._append("record_cost", CostRow, cost, id)

    async def query_costs(self, flow: str | None, limit: int) -> list[CostRow]:
        """Give up to ``limit`` costs of a flow, or of all with None, newest first."""
        return await self._newest("query_costs", CostRow, limit, flow_name=flow)

    # Schedules.

    async def save_schedule(self, schedule: ScheduleRow) -> None:
        """Store a schedule, or replace the one of the same name."""
        await self._save("save_schedule", ScheduleRow, schedule)

    async def load_schedules(self) -> list[ScheduleRow]:
        """Give all schedules, by name."""
        return await self._in_order("load_schedules", ScheduleRow)

    async def delete_schedule(self, name: str) -> bool:
        """Delete one schedule; False where there was none."""
        return await self._delete("delete_schedule", ScheduleRow, last=[name]) > 0

    # Many at once, tenants, health, life.

    async def save_many(self, rows: Iterable[Row]) -> None:
        """Store rows of any types, in order, in one transaction; of rows that share a key the last wins."""
        with _named("save_many"):
            tenant = self._tenant()
            call = Save(operation="save_many", tenant=tenant, rows=[_checked(row, Row, tenant) for row in rows])
        if call.rows:
            await self._run(call)

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager["StorageBackend"]:
        """Open a transaction: its target has these same methods, all committed at the block's end or none.

        It is never retried: a failure with ``error.transient`` set ends the block, and the caller may run it again.
        """

    async def tenant_ids(self) -> list[str]:
        """Give the tenants that have rows; takes time with their number, not with that of the rows."""
        return await self._run(Tenants(operation="tenant_ids", tenant=""))

    @abstractmethod
    async def is_healthy(self) -> bool:
        """Tell within 5 seconds whether the database answers and its schema is not behind; never raise."""

    def for_tenant(self, tenant: str) -> Self:
        """Give a view of this storage in which every call is ``tenant``'s; closing the view closes nothing."""
        view = copy(self)
        view._view_of = check_tenant(tenant)
        return view

    async def close(self) -> None:
        """Let the calls under way end, and give up the connections."""
        if self._view_of is None:
            await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # What a backend supplies.

    @abstractmethod
    async def _run(self, call: Call[T]) -> T:
        """Carry out one checked call."""

    @abstractmethod
    async def _close(self) -> None:
        """Give up what the backend holds."""

    def _tenant(self) -> str:
        return self._view_of or current_tenant(required=self._require_tenant)

    # From a method's arguments to its call.

    async def _save(self, operation: str, row_type: type[Row], row: Row) -> None:
        with _named(operation):
            tenant = self._tenant()
            call = Save(operation=operation, tenant=tenant, rows=[_checked(row, row_type, tenant)])
        await self._run(call)

    async def _append(self, operation: str, row_type: type[Row], row: Row, row_id: UUID | None) -> UUID:
        with _named(operation):
            tenant = self._tenant()
            checked = _checked(row, row_type, tenant)
            known = None if row_id is None else check_id(row_id)
        return await self._run(Append(operation=operation, tenant=tenant, row=checked, id=known))

    async def _get(self, operation: str, row_type: type[R], *key: Any) -> R | None:
        with _named(operation):
            fields = _checked_fields(row_type, dict(zip(row_type.KEY, key, strict=True)))
            call = Get(operation=operation, tenant=self._tenant(), row_type=row_type, key=fields)
        return await self._run(call)

    async def _in_order(self, operation: str, row_type: type[R], *prefix: Any) -> list[R]:
        with _named(operation):
            fields = _checked_fields(row_type, dict(zip(row_type.KEY, prefix, strict=False)))
            call = InOrder(operation=operation, tenant=self._tenant(), row_type=row_type, prefix=fields)
        return await self._run(call)

    async def _newest(self, operation: str, row_type: type[R], limit: int, offset: int = 0, **where: Any) -> list[R]:
        _check_page(limit, offset)
        with _named(operation):
            fields = _checked_fields(row_type, {name: value for name, value in where.items() if value is not None})
            tenant = self._tenant()
        return await self._run(
            Newest(operation=operation, tenant=tenant, row_type=row_type, where=fields, limit=limit, offset=offset)
        )

    async def _delete(self, operation: str, row_type: type[Row], *prefix: Any, last: Iterable[Any]) -> int:
        with _named(operation):
            fields = _checked_fields(row_type, dict(zip(row_type.KEY, prefix, strict=False)))
            keys = [check_field(row_type, row_type.KEY[-1], value) for value in last]
            call = Delete(operation=operation, tenant=self._tenant(), row_type=row_type, prefix=fields, last=keys)
        return await self._run(call)


class _named:  # noqa: N801  # reads as the word it is in a with statement
    """Names the operation in an error raised within; a class, since every call passes through it."""

    __slots__ = ("_operation",)

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, StorageError) and error.operation is None:
            error.operation = self._operation


def _checked(row: Row, row_type: type[Row], tenant: str) -> CheckedRow:
    # not isinstance: a subclass has no table, and would come back as its parent
    if type(row) not in (ROW_TYPES if row_type is Row else (row_type,)):
        raise SerializationError(f"{type(row).__name__[:40]} is not a {row_type.__name__}")
    checked = check_row(row)
    if row.tenant_id != tenant:
        raise TenantMismatchError(
            f"{row.TABLE}: the row belongs to {row.tenant_id[:40]!r}, the call to {tenant[:40]!r}"
        )
    return checked


def _checked_fields(row_type: type[Row], fields: dict[str, Any]) -> dict[str, Any]:
    return {name: check_field(row_type, name, value) for name, value in fields.items()}


def _check_page(limit: int, offset: int) -> None:
    for name, value in (("limit", limit), ("offset", offset)):
        if type(value) is not int or not 0 <= value <= _LONGEST_PAGE:
            raise ValueError(f"{name} must be an integer from 0 to 2^63-1")
