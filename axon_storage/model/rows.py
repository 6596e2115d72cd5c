"""The eleven row types that an agent server stores: frozen dataclasses, one for each table."""

from dataclasses import dataclass
from typing import ClassVar

from axon_storage.model.base import (
    CheckedRow,
    Field,
    Recorded,
    Row,
    check_field,
    check_row,
    check_values,
    fields_of,
    maker_of,
)
from axon_storage.model.values import F64, I32, U32, U64, Flag, JsonValue, LongText, Name, Path

__all__ = [
    "ROW_TYPES",
    "AuditRow",
    "AxonStoreRow",
    "CacheRow",
    "CheckedRow",
    "CostRow",
    "DaemonRow",
    "DataspaceRow",
    "EventRow",
    "Field",
    "HibernationRow",
    "Recorded",
    "Row",
    "ScheduleRow",
    "SessionRow",
    "TraceRow",
    "check_field",
    "check_row",
    "check_values",
    "fields_of",
    "maker_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow(Row):
    """One execution of a flow: its cost, its outcome and its events.

    ``latency_ms`` is the duration of the execution in milliseconds.
    """

    TABLE: ClassVar[str] = "traces"
    KEY: ClassVar[tuple[str, ...]] = ("trace_id",)

    trace_id: U64
    flow_name: Name
    status: Name
    steps_executed: U32
    latency_ms: U64
    tokens_input: U64
    tokens_output: U64
    anchor_checks: U32
    anchor_breaches: U32
    errors: U32
    retries: U32
    source_file: Path
    backend: Name
    client_key: Name
    replay_of: U64 | None
    correlation_id: Name | None
    events: JsonValue
    annotations: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow(Row):
    """A value stored under a key in a scope."""

    TABLE: ClassVar[str] = "sessions"
    KEY: ClassVar[tuple[str, ...]] = ("scope", "key")

    scope: Name
    key: Name
    value: LongText
    source_step: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonRow(Row):
    """A long-running flow that waits for events."""

    TABLE: ClassVar[str] = "daemons"
    KEY: ClassVar[tuple[str, ...]] = ("name",)

    name: Name
    state: Name
    source_file: Path
    flow_name: Name
    event_count: U64
    restart_count: U32
    trigger_topic: Name | None
    output_topic: Name | None
    lifecycle_events: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow(Row):
    """An entry of the audit log: who did what to what."""

    TABLE: ClassVar[str] = "audit_log"

    action: Name
    actor: Name
    target: Path
    detail: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class AxonStoreRow(Row):
    """A named store of entries under an ontology.

    ``created_at`` is the caller's integer: the library stores it and does not interpret it. By convention it is in
    seconds since 1970-01-01 UTC.
    """

    TABLE: ClassVar[str] = "axon_stores"
    KEY: ClassVar[tuple[str, ...]] = ("name",)

    name: Name
    ontology: LongText
    entries: JsonValue
    created_at: U64
    total_ops: U64


@dataclass(frozen=True, slots=True, kw_only=True)
class DataspaceRow(Row):
    """A named space of entries and the associations between them.

    ``created_at`` is the caller's integer: the library stores it and does not interpret it. By convention it is in
    seconds since 1970-01-01 UTC.
    """

    TABLE: ClassVar[str] = "dataspaces"
    KEY: ClassVar[tuple[str, ...]] = ("name",)

    name: Name
    ontology: LongText
    entries: JsonValue
    associations: JsonValue
    created_at: U64
    total_ops: U64
    next_id: U64


@dataclass(frozen=True, slots=True, kw_only=True)
class HibernationRow(Row):
    """A suspended agent, with its checkpoints.

    ``created_at`` and ``last_status_change`` are the caller's integers: the library stores them and does not interpret
    them. By convention they are in seconds since 1970-01-01 UTC.
    """

    TABLE: ClassVar[str] = "hibernations"
    KEY: ClassVar[tuple[str, ...]] = ("id",)

    id: Name
    name: Name
    operation: Name
    status: Name
    checkpoints: JsonValue
    resumed_from: I32 | None
    created_at: U64
    last_status_change: U64
    next_checkpoint_id: U32


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow(Row):
    """An event that was published on a topic."""

    TABLE: ClassVar[str] = "event_history"

    topic: Name
    source: Name
    payload: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRow(Row):
    """A cached result of a flow. It expires ``ttl_secs`` seconds after its last save; None means never."""

    TABLE: ClassVar[str] = "execution_cache"
    KEY: ClassVar[tuple[str, ...]] = ("flow_name", "cache_key")

    flow_name: Name
    cache_key: Name
    result: JsonValue
    ttl_secs: I32 | None
    hit_count: U64


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow(Row):
    """The cost of one call of a model, in tokens and in US dollars (``cost_usd``)."""

    TABLE: ClassVar[str] = "cost_tracking"

    flow_name: Name
    backend: Name
    input_tokens: U64
    output_tokens: U64
    cost_usd: F64


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow(Row):
    """A flow that runs every ``interval_secs`` seconds.

    ``interval_secs``, ``last_run`` and ``next_run`` are the caller's integers: the library stores them, does not
    interpret them, and starts no flow. By convention the last two are in seconds since 1970-01-01 UTC.
    """

    TABLE: ClassVar[str] = "schedules"
    KEY: ClassVar[tuple[str, ...]] = ("name",)

    name: Name
    flow_name: Name
    interval_secs: U64
    enabled: Flag
    backend: Name
    last_run: U64
    next_run: U64
    run_count: U64
    error_count: U64


ROW_TYPES: tuple[type[Row], ...] = (
    TraceRow,
    SessionRow,
    DaemonRow,
    AuditRow,
    AxonStoreRow,
    DataspaceRow,
    HibernationRow,
    EventRow,
    CacheRow,
    CostRow,
    ScheduleRow,
)
