"""The eleven tables of the row types, with columns that are not fields of a row; the tables of prune runs and seals."""

from typing import Any

from sqlalchemy import Column, Index, MetaData, Table
from sqlalchemy.types import TypeEngine

from axon_storage.dialects import APPEND_ONLY, DIALECTS, FILLFACTOR, WRITTEN_ONCE
from axon_storage.dialects import VERSION_TABLE as VERSION_TABLE  # noqa: PLC0414  # exported again
from axon_storage.model import rows
from axon_storage.sql.types import (
    Flag,
    Float64,
    Identifier,
    Int32,
    JsonDocument,
    LongText,
    RowId,
    UInt32,
    UInt64,
    UtcTimestamp,
)

CREATED_ID = "created_id"
"""A column of traces: a UUIDv7 that the first save sets and later saves do not change. Traces are ordered by it."""

EXPIRES_AT = "expires_at"
"""A column of cache entries: the timestamp at which the entry expires, or NULL if it never does."""

UPDATED_AT = "updated_at"
"""A column of keyed tables: the timestamp of the last save. NULL if a release before revision 0004 made that save."""

_OPTIONS = {name: value for dialect in DIALECTS for name, value in dialect.table_options.items()}

metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s"})


def _required(name: str, type_: TypeEngine[object]) -> Column[object]:
    return Column(name, type_, nullable=False)


def _optional(name: str, type_: TypeEngine[object]) -> Column[object]:
    return Column(name, type_, nullable=True)


def _key(name: str, type_: TypeEngine[object]) -> Column[object]:
    # With AUTO_INCREMENT, MySQL would store 1 instead of 0.
    return Column(name, type_, primary_key=True, autoincrement=False)


def _table(name: str, *items: Column[object] | Index, **options: Any) -> Table:
    tenant = _key("tenant_id", Identifier(64))
    return Table(name, metadata, tenant, *items, **{**_OPTIONS, **options})


def _updated(name: str, *items: Column[object] | Index) -> Table:
    """Create a table whose rows are updated. On PostgreSQL its fillfactor leaves room for heap-only tuples."""
    return _table(name, *items, info={FILLFACTOR: 80})


def _updated_at() -> Column[object]:
    # no index: with one, PostgreSQL could not make heap-only tuples
    return _optional(UPDATED_AT, UtcTimestamp())


def _log(name: str, *items: Column[object] | Index) -> Table:
    """Create an append-only table. Its primary key is the tenant and a UUIDv7, by which rows are ordered."""
    recorded = _required("timestamp_utc", UtcTimestamp())
    return _table(name, _key("id", RowId()), *items, recorded, info={APPEND_ONLY: True})


traces = _updated(
    "traces",
    _key("trace_id", UInt64()),
    _required("flow_name", Identifier(255)),
    _required("status", Identifier(255)),
    _required("steps_executed", UInt32()),
    _required("latency_ms", UInt64()),
    _required("tokens_input", UInt64()),
    _required("tokens_output", UInt64()),
    _required("anchor_checks", UInt32()),
    _required("anchor_breaches", UInt32()),
    _required("errors", UInt32()),
    _required("retries", UInt32()),
    _required("source_file", Identifier(900)),
    _required("backend", Identifier(255)),
    _required("client_key", Identifier(255)),
    _optional("replay_of", UInt64()),
    _optional("correlation_id", Identifier(255)),
    _required("events", JsonDocument()),
    _required("annotations", JsonDocument()),
    Column(CREATED_ID, RowId(), nullable=False, info={WRITTEN_ONCE: True}),
    Index("ix_traces_created", "tenant_id", CREATED_ID),
    Index("ix_traces_flow", "tenant_id", "flow_name", CREATED_ID),
)

sessions = _updated(
    "sessions",
    _key("scope", Identifier(255)),
    _key("key", Identifier(255)),
    _required("value", LongText()),
    _required("source_step", Identifier(255)),
    _updated_at(),
)

daemons = _updated(
    "daemons",
    _key("name", Identifier(255)),
    _required("state", Identifier(255)),
    _required("source_file", Identifier(900)),
    _required("flow_name", Identifier(255)),
    _required("event_count", UInt64()),
    _required("restart_count", UInt32()),
    _optional("trigger_topic", Identifier(255)),
    _optional("output_topic", Identifier(255)),
    _required("lifecycle_events", JsonDocument()),
    _updated_at(),
)

audit_log = _log(
    "audit_log",
    _required("action", Identifier(255)),
    _required("actor", Identifier(255)),
    _required("target", Identifier(900)),
    _required("detail", JsonDocument()),
)

axon_stores = _updated(
    "axon_stores",
    _key("name", Identifier(255)),
    _required("ontology", LongText()),
    _required("entries", JsonDocument()),
    _required("created_at", UInt64()),
    _required("total_ops", UInt64()),
    _updated_at(),
)

dataspaces = _updated(
    "dataspaces",
    _key("name", Identifier(255)),
    _required("ontology", LongText()),
    _required("entries", JsonDocument()),
    _required("associations", JsonDocument()),
    _required("created_at", UInt64()),
    _required("total_ops", UInt64()),
    _required("next_id", UInt64()),
    _updated_at(),
)

hibernations = _updated(
    "hibernations",
    _key("id", Identifier(255)),
    _required("name", Identifier(255)),
    _required("operation", Identifier(255)),
    _required("status", Identifier(255)),
    _required("checkpoints", JsonDocument()),
    _optional("resumed_from", Int32()),
    _required("created_at", UInt64()),
    _required("last_status_change", UInt64()),
    _required("next_checkpoint_id", UInt32()),
    _updated_at(),
)

event_history = _log(
    "event_history",
    _required("topic", Identifier(255)),
    _required("source", Identifier(255)),
    _required("payload", JsonDocument()),
    Index("ix_event_history_topic", "tenant_id", "topic", "id"),
)

# No fillfactor: each save changes expires_at, which is indexed, and such an update never makes a heap-only tuple.
execution_cache = _table(
    "execution_cache",
    _key("flow_name", Identifier(255)),
    _key("cache_key", Identifier(255)),
    _required("result", JsonDocument()),
    _optional("ttl_secs", Int32()),
    _required("hit_count", UInt64()),
    _optional(EXPIRES_AT, UtcTimestamp()),
    _updated_at(),
    Index("ix_execution_cache_expiry", "tenant_id", EXPIRES_AT),
)

cost_tracking = _log(
    "cost_tracking",
    _required("flow_name", Identifier(255)),
    _required("backend", Identifier(255)),
    _required("input_tokens", UInt64()),
    _required("output_tokens", UInt64()),
    _required("cost_usd", Float64()),
    Index("ix_cost_tracking_flow", "tenant_id", "flow_name", "id"),
)

schedules = _updated(
    "schedules",
    _key("name", Identifier(255)),
    _required("flow_name", Identifier(255)),
    _required("interval_secs", UInt64()),
    _required("enabled", Flag()),
    _required("backend", Identifier(255)),
    _required("last_run", UInt64()),
    _required("next_run", UInt64()),
    _required("run_count", UInt64()),
    _required("error_count", UInt64()),
    _updated_at(),
)

pruning = _table(
    "axon_storage_pruning",
    _key("table_name", Identifier(255)),
    _optional("pruned_before", UtcTimestamp()),
    _optional("holder", RowId()),
    _optional("held_until", UtcTimestamp()),
)
"""What was pruned of each tenant and table, and which run prunes it now.

``pruned_before``: rows recorded before this timestamp were deleted. ``holder``: the id of the run that prunes the
table, until ``held_until``.
"""

audit_seals = _table(
    "axon_storage_audit_seals",
    _key("seal_number", UInt64()),
    _required("first_id", RowId()),
    _required("end_id", RowId()),
    _required("entries", UInt64()),
    _optional("pruned_before", UtcTimestamp()),
    _required("sealed_at", UtcTimestamp()),
    _required("previous_hash", Identifier(64)),
    _required("digests_hash", Identifier(64)),
    _required("seal_hash", Identifier(64)),
    _required("has_digests", Flag()),
    _required("digests", LongText()),
)
"""The seals of the audit log of each tenant, a chain from number 1 on: see ``model/seals.py``."""

TABLES: dict[type[rows.Row], Table] = {row_type: metadata.tables[row_type.TABLE] for row_type in rows.ROW_TYPES}
"""The table of each row type."""
