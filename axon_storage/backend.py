"""Every public method of a storage, written once over the calls a backend carries out."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from copy import copy
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from axon_storage.model.ids import check_id
from axon_storage.model.requests import Append, Call, Delete, Evict, Get, InOrder, Newest, Page, Save, Scopes, Tenants
from axon_storage.model.rows import (
    AuditRow,
    AxonStoreRow,
    CacheRow,
    CostRow,
    DaemonRow,
    DataspaceRow,
    EventRow,
    HibernationRow,
    Recorded,
    Row,
    ScheduleRow,
    SessionRow,
    TraceRow,
    check_values,
)
from axon_storage.model.validation import check_page, checked, checked_fields, named, period
from axon_storage.tenancy import check_tenant, current_tenant

T = TypeVar("T")
R = TypeVar("R", bound=Row)

PAGE_SIZE = 500
"""How many rows an iterator reads at a time."""


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

    def iter_traces(
        self,
        *,
        flow: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = PAGE_SIZE,
    ) -> AsyncIterator[Recorded[TraceRow]]:
        """Give each trace in the order of first saves, the oldest first: of one flow, or of all with None.

        ``since`` (included) and ``until`` (not included) are moments with a time zone. A page of ``page_size`` rows
        is in memory at a time, and each page is a call of its own, with nothing held between them: what is stored or
        deleted meanwhile may or may not be met.
        """
        return self._iterate("iter_traces", TraceRow, period(since, until), page_size, flow_name=flow)

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

    def iter_audit(
        self, *, since: datetime | None = None, until: datetime | None = None, page_size: int = PAGE_SIZE
    ) -> AsyncIterator[Recorded[AuditRow]]:
        """Give each entry, the oldest first, as :meth:`iter_traces` does."""
        return self._iterate("iter_audit", AuditRow, period(since, until), page_size)

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

    def iter_events(
        self,
        *,
        topic: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = PAGE_SIZE,
    ) -> AsyncIterator[Recorded[EventRow]]:
        """Give each event of a topic, or of all with None, the oldest first, as :meth:`iter_traces` does."""
        return self._iterate("iter_events", EventRow, period(since, until), page_size, topic=topic)

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

    def iter_costs(
        self,
        *,
        flow: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = PAGE_SIZE,
    ) -> AsyncIterator[Recorded[CostRow]]:
        """Give each cost of a flow, or of all with None, the oldest first, as :meth:`iter_traces` does."""
        return self._iterate("iter_costs", CostRow, period(since, until), page_size, flow_name=flow)

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
        with named("save_many"):
            tenant = self._tenant()
            call = Save(operation="save_many", tenant=tenant, rows=[checked(row, Row, tenant) for row in rows])
        if call.rows:
            await self._run(call)

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager["StorageBackend"]:
        """Open a transaction: its target has these same methods, all committed at the block's end or none.

        It is never run again: a failure with ``error.transient`` set ends the block, and the caller may run it again.
        Only the opening and the first call are, since until that call has ended nothing has been done. The task that
        opened it writes through its target alone until the block ends; past it, a write is a :class:`QueryError`.
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

    def _carrier(self) -> "StorageBackend":
        """Who carries out the calls that are made now, to their end."""
        return self

    # From a method's arguments to its call.

    async def _save(self, operation: str, row_type: type[Row], row: Row) -> None:
        with named(operation):
            tenant = self._tenant()
            call = Save(operation=operation, tenant=tenant, rows=[checked(row, row_type, tenant)])
        await self._run(call)

    async def _append(self, operation: str, row_type: type[Row], row: Row, row_id: UUID | None) -> UUID:
        with named(operation):
            tenant = self._tenant()
            fit = checked(row, row_type, tenant)
            known = None if row_id is None else check_id(row_id)
        return await self._run(Append(operation=operation, tenant=tenant, row=fit, id=known))

    async def _get(self, operation: str, row_type: type[R], *key: Any) -> R | None:
        with named(operation):
            fields = checked_fields(row_type, dict(zip(row_type.KEY, key, strict=True)))
            call = Get(operation=operation, tenant=self._tenant(), row_type=row_type, key=fields)
        return await self._run(call)

    async def _in_order(self, operation: str, row_type: type[R], *prefix: Any) -> list[R]:
        with named(operation):
            fields = checked_fields(row_type, dict(zip(row_type.KEY, prefix, strict=False)))
            call = InOrder(operation=operation, tenant=self._tenant(), row_type=row_type, prefix=fields)
        return await self._run(call)

    async def _newest(self, operation: str, row_type: type[R], limit: int, offset: int = 0, **where: Any) -> list[R]:
        check_page(limit=limit, offset=offset)
        with named(operation):
            fields = checked_fields(row_type, {name: value for name, value in where.items() if value is not None})
            tenant = self._tenant()
        return await self._run(
            Newest(operation=operation, tenant=tenant, row_type=row_type, where=fields, limit=limit, offset=offset)
        )

    def _iterate(
        self, operation: str, row_type: type[R], ids: tuple[UUID, UUID], page_size: int, **where: Any
    ) -> AsyncIterator[Recorded[R]]:
        check_page(low=1, page_size=page_size)
        with named(operation):
            fields = checked_fields(row_type, {name: value for name, value in where.items() if value is not None})
            tenant = self._tenant()
        after, before = ids
        first = Page(
            operation=operation,
            tenant=tenant,
            row_type=row_type,
            where=fields,
            after=after,
            before=before,
            limit=page_size,
        )
        return _pages(self._carrier(), first)

    async def _delete(self, operation: str, row_type: type[Row], *prefix: Any, last: Iterable[Any]) -> int:
        with named(operation):
            fields = checked_fields(row_type, dict(zip(row_type.KEY, prefix, strict=False)))
            keys = check_values(row_type, row_type.KEY[-1], last)
            call = Delete(operation=operation, tenant=self._tenant(), row_type=row_type, prefix=fields, last=keys)
        return await self._run(call)


async def _pages(backend: StorageBackend, page: Page[R]) -> AsyncIterator[Recorded[R]]:
    while True:
        found = await backend._run(page)
        for recorded in found:
            yield recorded
        if len(found) < page.limit:
            return
        page = replace(page, after=found[-1].id)
