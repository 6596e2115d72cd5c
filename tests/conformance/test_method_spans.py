"""The span of each method: its name, kind and attributes."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    AxonStoreRow,
    CacheRow,
    CostRow,
    DaemonRow,
    DataspaceRow,
    EventRow,
    HibernationRow,
    ScheduleRow,
    SessionRow,
    SqlRepository,
    StorageBackend,
    TraceRow,
)
from axon_storage.dialects import dialect_of
from axon_storage.model.ids import IdSource
from axon_storage.testing.samples import sample
from tests.telemetry import Telemetry, attributes_of, database_attributes

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)

Call = Callable[[StorageBackend], Awaitable[Any]]


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def observed(engine: AsyncEngine, telemetry: Telemetry) -> SqlRepository:
    return SqlRepository(engine, **telemetry.options)


async def _read(rows: AsyncIterator[Any]) -> None:
    async for _row in rows:
        pass


async def _follow(storage: StorageBackend) -> None:
    async with aclosing(storage.follow_events(after=IdSource(lambda: int(LONG_AGO.timestamp()) * 10**9)())) as events:
        await anext(events)


def _prune(method: str) -> Call:
    return lambda storage: getattr(storage, method)(LONG_AGO)


METHODS: dict[str, tuple[str | None, Call]] = {
    "save_trace": ("traces", lambda s: s.save_trace(sample(TraceRow))),
    "load_traces": ("traces", lambda s: s.load_traces(3)),
    "get_trace": ("traces", lambda s: s.get_trace(7)),
    "iter_traces": ("traces", lambda s: _read(s.iter_traces())),
    "summarize_traces": ("traces", lambda s: s.summarize_traces(by="flow")),
    "delete_traces": ("traces", lambda s: s.delete_traces([1, 2])),
    "prune_traces": ("traces", _prune("prune_traces")),
    "save_session": ("sessions", lambda s: s.save_session(sample(SessionRow))),
    "load_sessions": ("sessions", lambda s: s.load_sessions("name")),
    "get_session": ("sessions", lambda s: s.get_session("name", "name")),
    "session_scopes": ("sessions", lambda s: s.session_scopes()),
    "delete_session": ("sessions", lambda s: s.delete_session("name", "name")),
    "delete_sessions": ("sessions", lambda s: s.delete_sessions("name")),
    "prune_sessions": ("sessions", _prune("prune_sessions")),
    "save_daemon": ("daemons", lambda s: s.save_daemon(sample(DaemonRow))),
    "load_daemons": ("daemons", lambda s: s.load_daemons()),
    "get_daemon": ("daemons", lambda s: s.get_daemon("name")),
    "delete_daemon": ("daemons", lambda s: s.delete_daemon("name")),
    "prune_daemons": ("daemons", _prune("prune_daemons")),
    "append_audit": ("audit_log", lambda s: s.append_audit(sample(AuditRow))),
    "query_audit": ("audit_log", lambda s: s.query_audit(3)),
    "iter_audit": ("audit_log", lambda s: _read(s.iter_audit())),
    "prune_audit": ("audit_log", _prune("prune_audit")),
    "save_axon_store": ("axon_stores", lambda s: s.save_axon_store(sample(AxonStoreRow))),
    "load_axon_stores": ("axon_stores", lambda s: s.load_axon_stores()),
    "get_axon_store": ("axon_stores", lambda s: s.get_axon_store("name")),
    "delete_axon_store": ("axon_stores", lambda s: s.delete_axon_store("name")),
    "prune_axon_stores": ("axon_stores", _prune("prune_axon_stores")),
    "save_dataspace": ("dataspaces", lambda s: s.save_dataspace(sample(DataspaceRow))),
    "load_dataspaces": ("dataspaces", lambda s: s.load_dataspaces()),
    "get_dataspace": ("dataspaces", lambda s: s.get_dataspace("name")),
    "delete_dataspace": ("dataspaces", lambda s: s.delete_dataspace("name")),
    "prune_dataspaces": ("dataspaces", _prune("prune_dataspaces")),
    "save_hibernation": ("hibernations", lambda s: s.save_hibernation(sample(HibernationRow))),
    "load_hibernations": ("hibernations", lambda s: s.load_hibernations()),
    "get_hibernation": ("hibernations", lambda s: s.get_hibernation("name")),
    "delete_hibernation": ("hibernations", lambda s: s.delete_hibernation("name")),
    "prune_hibernations": ("hibernations", _prune("prune_hibernations")),
    "append_event": ("event_history", lambda s: s.append_event(sample(EventRow))),
    "query_events": ("event_history", lambda s: s.query_events(None, 3)),
    "iter_events": ("event_history", lambda s: _read(s.iter_events())),
    "summarize_events": ("event_history", lambda s: s.summarize_events(by="topic")),
    "follow_events": ("event_history", _follow),
    "prune_events": ("event_history", _prune("prune_events")),
    "save_cache_entry": ("execution_cache", lambda s: s.save_cache_entry(sample(CacheRow))),
    "load_cache_entries": ("execution_cache", lambda s: s.load_cache_entries()),
    "get_cache_entry": ("execution_cache", lambda s: s.get_cache_entry("name", "name")),
    "delete_cache_entry": ("execution_cache", lambda s: s.delete_cache_entry("name", "name")),
    "evict_expired_cache": ("execution_cache", lambda s: s.evict_expired_cache()),
    "prune_cache": ("execution_cache", _prune("prune_cache")),
    "record_cost": ("cost_tracking", lambda s: s.record_cost(sample(CostRow))),
    "query_costs": ("cost_tracking", lambda s: s.query_costs(None, 3)),
    "iter_costs": ("cost_tracking", lambda s: _read(s.iter_costs())),
    "summarize_costs": ("cost_tracking", lambda s: s.summarize_costs(by="flow")),
    "prune_costs": ("cost_tracking", _prune("prune_costs")),
    "save_schedule": ("schedules", lambda s: s.save_schedule(sample(ScheduleRow))),
    "load_schedules": ("schedules", lambda s: s.load_schedules()),
    "get_schedule": ("schedules", lambda s: s.get_schedule("name")),
    "delete_schedule": ("schedules", lambda s: s.delete_schedule("name")),
    "prune_schedules": ("schedules", _prune("prune_schedules")),
    "save_many": (None, lambda s: s.save_many([sample(SessionRow), sample(EventRow)])),
    "create": ("sessions", lambda s: s.create(sample(SessionRow, key="new"))),
    "scan": ("sessions", lambda s: _read(s.scan(SessionRow))),
    "tenant_ids": (None, lambda s: s.tenant_ids()),
    "stats": (None, lambda s: s.stats()),
    "is_healthy": (None, lambda s: s.is_healthy()),
    "health": (None, lambda s: s.health()),
}
"""Each method with the table that its spans name, or None, and a call of it."""

WITHOUT = {"execute", "current_tenant", "for_tenant", "close", "transaction", "erase_tenant"}
"""Methods that send nothing, that a backend implements, or that have a test of their own."""


def test_every_method_is_called_here() -> None:
    members = inspect.getmembers(StorageBackend, inspect.isfunction)
    assert {name for name, _ in members if not name.startswith("_")} == {*METHODS, *WITHOUT}


@pytest.mark.needs_role("app+maintenance", reason="it prunes and erases")
async def test_the_span_of_each_method(observed: SqlRepository, engine: AsyncEngine, telemetry: Telemetry) -> None:
    await observed.load_daemons()  # after the first connection MariaDB is known
    common = database_attributes(dialect_of(engine.dialect), engine.url)
    target = common.get("db.namespace", f"{engine.url.host}:{engine.url.port}")
    for method, (table, call) in METHODS.items():
        telemetry.clear()
        await call(observed)
        own: dict[str, Any] = {"db.operation.name": method}
        own |= {} if table is None else {"db.collection.name": table}
        own |= {"db.operation.batch.size": 2} if method == "save_many" else {}
        assert telemetry.spans.ended, method
        for span in telemetry.spans.ended:
            assert span.name == f"{method} {table or target}"
            assert span.kind is SpanKind.CLIENT
            assert _without_times(span) == common | own
            assert (span.status.status_code, span.events, span.links, span.parent) == (StatusCode.UNSET, (), (), None)
    assert telemetry.spans.open == set()


def _without_times(span: ReadableSpan) -> dict[str, Any]:
    return {name: value for name, value in attributes_of(span).items() if not name.startswith("axon_storage.time.")}
