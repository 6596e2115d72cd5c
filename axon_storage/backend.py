"""StorageBackend: every public method of a storage."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from uuid import UUID

from axon_storage.backend_base import BackendBase
from axon_storage.model.requests import EvictExpired, ListScopes, ListTenants
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
)

PAGE_SIZE = 500
"""The default number of rows that an iterator reads at a time."""


class StorageBackend(BackendBase):
    """The interface of every storage: methods that save, append, read and delete the rows of an agent server.

    A write is committed before its call returns. A save replaces the whole row. A value that not every database can
    store exactly raises a :class:`SerializationError`, and a row of another tenant a :class:`TenantMismatchError`,
    before anything is sent. Failures of the database raise a :class:`StorageConnectionError` or a :class:`QueryError`.
    """

    # Traces.

    async def save_trace(self, trace: TraceRow) -> None:
        """Store a trace, or replace the one with the same ``trace_id``; its position in the order does not change."""
        await self._save("save_trace", TraceRow, [trace])

    async def load_traces(self, limit: int, offset: int = 0) -> list[TraceRow]:
        """Return up to ``limit`` traces, ordered by their first save, newest first; skip the first ``offset``."""
        return await self._list_newest("load_traces", TraceRow, limit, offset)

    def iter_traces(
        self,
        *,
        flow: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = PAGE_SIZE,
    ) -> AsyncGenerator[Recorded[TraceRow]]:
        """Yield the traces of a flow (None: of all flows), ordered by their first save, oldest first.

        ``since`` (inclusive) and ``until`` (exclusive) are datetimes with a time zone. Only one page of ``page_size``
        rows is in memory at a time. Each page is a separate query, and nothing is locked between pages: rows stored
        or deleted during the iteration may or may not appear.
        """
        return self._iterate("iter_traces", TraceRow, since, until, page_size, flow_name=flow)

    async def get_trace(self, trace_id: int) -> TraceRow | None:
        """Return one trace, or None."""
        return await self._get("get_trace", TraceRow, trace_id)

    async def delete_traces(self, ids: Iterable[int]) -> int:
        """Delete traces by id in one transaction, and return the number of deleted traces."""
        return await self._delete("delete_traces", TraceRow, last=ids)

    # Sessions.

    async def save_session(self, entry: SessionRow) -> None:
        """Store a session entry, or replace the one with the same scope and key."""
        await self._save("save_session", SessionRow, [entry])

    async def load_sessions(self, scope: str) -> list[SessionRow]:
        """Return all entries of a scope, ordered by key."""
        return await self._list_by_key("load_sessions", SessionRow, scope)

    async def get_session(self, scope: str, key: str) -> SessionRow | None:
        """Return one entry, or None."""
        return await self._get("get_session", SessionRow, scope, key)

    async def delete_session(self, scope: str, key: str) -> bool:
        """Delete an entry, and return whether it existed."""
        return await self._delete("delete_session", SessionRow, scope, last=[key]) > 0

    async def session_scopes(self) -> list[str]:
        """Return the scopes that have entries, sorted. The time depends on the number of scopes, not of entries."""
        return await self.execute(
            ListScopes(operation="session_scopes", tenant=self.current_tenant(), row_type=SessionRow)
        )

    # Daemons.

    async def save_daemon(self, daemon: DaemonRow) -> None:
        """Store a daemon, or replace the one with the same name."""
        await self._save("save_daemon", DaemonRow, [daemon])

    async def load_daemons(self) -> list[DaemonRow]:
        """Return all daemons, ordered by name."""
        return await self._list_by_key("load_daemons", DaemonRow)

    async def delete_daemon(self, name: str) -> bool:
        """Delete a daemon, and return whether it existed."""
        return await self._delete("delete_daemon", DaemonRow, last=[name]) > 0

    # The audit log.

    async def append_audit(self, entry: AuditRow, id: UUID | None = None) -> UUID:  # noqa: A002  # the contract's name
        """Append an entry, and return its id. If an entry with this ``id`` exists, store nothing."""
        return await self._append("append_audit", entry, AuditRow, id)

    async def query_audit(self, limit: int) -> list[AuditRow]:
        """Return up to ``limit`` entries, newest first."""
        return await self._list_newest("query_audit", AuditRow, limit)

    def iter_audit(
        self, *, since: datetime | None = None, until: datetime | None = None, page_size: int = PAGE_SIZE
    ) -> AsyncGenerator[Recorded[AuditRow]]:
        """Yield the entries, oldest first. The options are those of :meth:`iter_traces`."""
        return self._iterate("iter_audit", AuditRow, since, until, page_size)

    # Stores.

    async def save_axon_store(self, store: AxonStoreRow) -> None:
        """Save a store, or replace the one with the same name."""
        await self._save("save_axon_store", AxonStoreRow, [store])

    async def load_axon_stores(self) -> list[AxonStoreRow]:
        """Return all stores, ordered by name."""
        return await self._list_by_key("load_axon_stores", AxonStoreRow)

    async def delete_axon_store(self, name: str) -> bool:
        """Delete a store, and return whether it existed."""
        return await self._delete("delete_axon_store", AxonStoreRow, last=[name]) > 0

    # Dataspaces.

    async def save_dataspace(self, dataspace: DataspaceRow) -> None:
        """Store a dataspace, or replace the one with the same name."""
        await self._save("save_dataspace", DataspaceRow, [dataspace])

    async def load_dataspaces(self) -> list[DataspaceRow]:
        """Return all dataspaces, ordered by name."""
        return await self._list_by_key("load_dataspaces", DataspaceRow)

    async def delete_dataspace(self, name: str) -> bool:
        """Delete a dataspace, and return whether it existed."""
        return await self._delete("delete_dataspace", DataspaceRow, last=[name]) > 0

    # Hibernated agents.

    async def save_hibernation(self, session: HibernationRow) -> None:
        """Store a hibernated agent, or replace the one with the same id."""
        await self._save("save_hibernation", HibernationRow, [session])

    async def load_hibernations(self) -> list[HibernationRow]:
        """Return all hibernated agents, ordered by id."""
        return await self._list_by_key("load_hibernations", HibernationRow)

    async def delete_hibernation(self, id: str) -> bool:  # noqa: A002  # the contract's name
        """Delete a hibernated agent, and return whether it existed."""
        return await self._delete("delete_hibernation", HibernationRow, last=[id]) > 0

    # Events.

    async def append_event(self, event: EventRow, id: UUID | None = None) -> UUID:  # noqa: A002  # the contract's name
        """Append an event, and return its id. If an event with this ``id`` exists, store nothing."""
        return await self._append("append_event", event, EventRow, id)

    async def query_events(self, topic: str | None, limit: int) -> list[EventRow]:
        """Return up to ``limit`` events of a topic (None: of all topics), newest first."""
        return await self._list_newest("query_events", EventRow, limit, topic=topic)

    def iter_events(
        self,
        *,
        topic: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = PAGE_SIZE,
    ) -> AsyncGenerator[Recorded[EventRow]]:
        """Yield the events of a topic (None: of all topics), oldest first, as :meth:`iter_traces` does."""
        return self._iterate("iter_events", EventRow, since, until, page_size, topic=topic)

    # The cache.

    async def save_cache_entry(self, entry: CacheRow) -> None:
        """Store a result, or replace the one with the same flow and key; its time to live starts now."""
        await self._save("save_cache_entry", CacheRow, [entry])

    async def load_cache_entries(self) -> list[CacheRow]:
        """Return all results that have not expired, ordered by flow and key."""
        return await self._list_by_key("load_cache_entries", CacheRow)

    async def get_cache_entry(self, flow_name: str, cache_key: str) -> CacheRow | None:
        """Return one result, or None if there is none or it has expired."""
        return await self._get("get_cache_entry", CacheRow, flow_name, cache_key)

    async def delete_cache_entry(self, flow_name: str, cache_key: str) -> bool:
        """Delete a result, expired or not, and return whether it existed."""
        return await self._delete("delete_cache_entry", CacheRow, flow_name, last=[cache_key]) > 0

    async def evict_expired_cache(self) -> int:
        """Delete the expired results, and return their number."""
        return await self.execute(
            EvictExpired(operation="evict_expired_cache", tenant=self.current_tenant(), row_type=CacheRow)
        )

    # Costs.

    async def record_cost(self, cost: CostRow, id: UUID | None = None) -> UUID:  # noqa: A002  # the contract's name
        """Append a cost, and return its id. If a cost with this ``id`` exists, store nothing."""
        return await self._append("record_cost", cost, CostRow, id)

    async def query_costs(self, flow: str | None, limit: int) -> list[CostRow]:
        """Return up to ``limit`` costs of a flow (None: of all flows), newest first."""
        return await self._list_newest("query_costs", CostRow, limit, flow_name=flow)

    def iter_costs(
        self,
        *,
        flow: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = PAGE_SIZE,
    ) -> AsyncGenerator[Recorded[CostRow]]:
        """Yield the costs of a flow (None: of all flows), oldest first, as :meth:`iter_traces` does."""
        return self._iterate("iter_costs", CostRow, since, until, page_size, flow_name=flow)

    # Schedules.

    async def save_schedule(self, schedule: ScheduleRow) -> None:
        """Store a schedule, or replace the one with the same name."""
        await self._save("save_schedule", ScheduleRow, [schedule])

    async def load_schedules(self) -> list[ScheduleRow]:
        """Return all schedules, ordered by name."""
        return await self._list_by_key("load_schedules", ScheduleRow)

    async def delete_schedule(self, name: str) -> bool:
        """Delete a schedule, and return whether it existed."""
        return await self._delete("delete_schedule", ScheduleRow, last=[name]) > 0

    # Writes of several rows, transactions, tenants, health.

    async def save_many(self, rows: Iterable[Row]) -> None:
        """Store rows of any types in one transaction. If several rows have the same key, the last one is stored."""
        await self._save("save_many", Row, rows)

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager["StorageBackend"]:
        """Open a transaction: an object with the same methods, whose writes are all committed at the end of the block.

        If the block raises, nothing is stored. The storage does not retry the block: after an error with
        ``error.transient`` set, the caller may run it again. Inside the block, write only through the object. A write
        by the same task through the storage raises a :class:`QueryError`::

            async with storage.transaction() as transaction:
                await transaction.save_session(entry)
                await transaction.append_event(event)
        """

    async def tenant_ids(self) -> list[str]:
        """Return the tenants that have rows, sorted. The time depends on the number of tenants, not of rows."""
        return await self.execute(ListTenants(operation="tenant_ids", tenant=""))

    @abstractmethod
    async def is_healthy(self) -> bool:
        """Return whether the database answers and accepts writes, and its schema is not older than this package's.

        It returns within 5 seconds, and never raises. A read-only server, such as a standby, is not healthy. The check
        uses a separate connection, which is kept for the next check.
        """
