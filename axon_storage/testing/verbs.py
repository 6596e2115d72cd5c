"""The public methods by row type, for tests that run on every type."""

from collections.abc import Awaitable, Callable
from typing import Any

from axon_storage import (
    AuditRow,
    AxonStoreRow,
    CacheRow,
    CostRow,
    DaemonRow,
    DataspaceRow,
    EventRow,
    HibernationRow,
    Row,
    ScheduleRow,
    SessionRow,
    StorageBackend,
    TraceRow,
)
from axon_storage.model.rows import ROW_TYPES

KEYED = (TraceRow, SessionRow, DaemonRow, AxonStoreRow, DataspaceRow, HibernationRow, CacheRow, ScheduleRow)
LOGS = (AuditRow, EventRow, CostRow)
NAMED = (DaemonRow, AxonStoreRow, DataspaceRow, HibernationRow, ScheduleRow)

_STORE = {
    TraceRow: "save_trace",
    SessionRow: "save_session",
    DaemonRow: "save_daemon",
    AuditRow: "append_audit",
    AxonStoreRow: "save_axon_store",
    DataspaceRow: "save_dataspace",
    HibernationRow: "save_hibernation",
    EventRow: "append_event",
    CacheRow: "save_cache_entry",
    CostRow: "record_cost",
    ScheduleRow: "save_schedule",
}


async def _sessions(storage: StorageBackend) -> list[SessionRow]:
    return [entry for scope in await storage.session_scopes() for entry in await storage.load_sessions(scope)]


_LOAD: dict[type[Row], Callable[[StorageBackend], Awaitable[list[Any]]]] = {
    TraceRow: lambda storage: storage.load_traces(10**6),
    SessionRow: _sessions,
    DaemonRow: lambda storage: storage.load_daemons(),
    AuditRow: lambda storage: storage.query_audit(10**6),
    AxonStoreRow: lambda storage: storage.load_axon_stores(),
    DataspaceRow: lambda storage: storage.load_dataspaces(),
    HibernationRow: lambda storage: storage.load_hibernations(),
    EventRow: lambda storage: storage.query_events(None, 10**6),
    CacheRow: lambda storage: storage.load_cache_entries(),
    CostRow: lambda storage: storage.query_costs(None, 10**6),
    ScheduleRow: lambda storage: storage.load_schedules(),
}

_DELETE: dict[type[Row], Callable[[StorageBackend, Any], Awaitable[int]]] = {
    TraceRow: lambda storage, row: storage.delete_traces([row.trace_id]),
    SessionRow: lambda storage, row: storage.delete_session(row.scope, row.key),
    DaemonRow: lambda storage, row: storage.delete_daemon(row.name),
    AxonStoreRow: lambda storage, row: storage.delete_axon_store(row.name),
    DataspaceRow: lambda storage, row: storage.delete_dataspace(row.name),
    HibernationRow: lambda storage, row: storage.delete_hibernation(row.id),
    CacheRow: lambda storage, row: storage.delete_cache_entry(row.flow_name, row.cache_key),
    ScheduleRow: lambda storage, row: storage.delete_schedule(row.name),
}

_GET: dict[type[Row], Callable[[StorageBackend, Any], Awaitable[Row | None]]] = {
    TraceRow: lambda storage, row: storage.get_trace(row.trace_id),
    SessionRow: lambda storage, row: storage.get_session(row.scope, row.key),
    DaemonRow: lambda storage, row: storage.get_daemon(row.name),
    AxonStoreRow: lambda storage, row: storage.get_axon_store(row.name),
    DataspaceRow: lambda storage, row: storage.get_dataspace(row.name),
    HibernationRow: lambda storage, row: storage.get_hibernation(row.id),
    CacheRow: lambda storage, row: storage.get_cache_entry(row.flow_name, row.cache_key),
    ScheduleRow: lambda storage, row: storage.get_schedule(row.name),
}


async def store(storage: StorageBackend, row: Row, *, given: Any = None, **options: Any) -> Any:
    """Save or append a row by the method of its type; if ``given`` is set, the method gets that instead."""
    return await getattr(storage, _STORE[type(row)])(row if given is None else given, **options)


async def load(storage: StorageBackend, row_type: type[Row]) -> list[Any]:
    """Return every row of a type."""
    return await _LOAD[row_type](storage)


async def delete(storage: StorageBackend, row: Row) -> int:
    """Delete the row with the same key by the method of its type."""
    return await _DELETE[type(row)](storage, row)


async def get(storage: StorageBackend, row: Row) -> Row | None:
    """Return the row with the same key by the method of its type."""
    return await _GET[type(row)](storage, row)


async def everything(storage: StorageBackend) -> list[Row]:
    """Return every row of one tenant."""
    return [row for row_type in ROW_TYPES for row in await load(storage, row_type)]
