"""The eleven row types an agent server stores: frozen dataclasses, each field with its kind."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import repeat
from operator import call
from types import NoneType
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar, get_args, get_type_hints
from uuid import UUID

import orjson

from axon_storage.errors import SerializationError
from axon_storage.model.cached import cached
from axon_storage.model.values import (
    F64,
    I32,
    MAX_ROW_BYTES,
    U32,
    U64,
    Flag,
    JsonText,
    JsonValue,
    Kind,
    LongText,
    Name,
    Nullable,
    Path,
    TenantId,
    parse_json,
    refusal,
    utf8_size,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What every row has: a tenant, a table and a key."""

    TABLE: ClassVar[str] = "row"
    KEY: ClassVar[tuple[str, ...]] = ()
    """The fields that, with ``tenant_id``, tell one row from another; empty for a table that is only appended to."""

    tenant_id: TenantId

    def to_json(self) -> bytes:
        """Give the row as a JSON object with one member per field; a value outside the domain is refused."""
        checked = check_row(self)
        return orjson.dumps({name: _fragment(value, checked.values[name]) for name, value in _items(self)})

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Give the row of a JSON object; unknown, missing or mistyped fields are a SerializationError."""
        try:
            members = parse_json(data)
        except ValueError as refused:
            raise refusal(cls.TABLE, refused) from None
        if type(members) is not dict:
            raise SerializationError(f"{cls.TABLE}: {type(members).__name__} is not an object")
        names = {field.name for field in fields_of(cls)}
        for name in [*members.keys() - names, *names - members.keys()]:
            raise SerializationError(
                f"{cls.TABLE}.{ascii(name[:20])[1:-1][:40]}: {'missing' if name in names else 'unknown'} field"
            )
        row = cls(**members)
        check_row(row)
        return row


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Recorded(Generic[R]):
    """A row as it was recorded: its id (of a trace, that of its first save) and the moment that id was made."""

    id: UUID
    timestamp: datetime
    row: R


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow(Row):
    """One execution of a flow: what it cost, how it went, what happened in it.

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
    """One value remembered under a key of a scope."""

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
    """Who did what to what."""

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
    """An agent put to sleep with its checkpoints.

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
    """Something that was published on a topic."""

    TABLE: ClassVar[str] = "event_history"

    topic: Name
    source: Name
    payload: JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRow(Row):
    """A flow's result kept for ``ttl_secs`` seconds from its last save; None never expires."""

    TABLE: ClassVar[str] = "execution_cache"
    KEY: ClassVar[tuple[str, ...]] = ("flow_name", "cache_key")

    flow_name: Name
    cache_key: Name
    result: JsonValue
    ttl_secs: I32 | None
    hit_count: U64


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow(Row):
    """What one call of a model cost."""

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


class Field(NamedTuple):
    """A field's name and what it may hold."""

    name: str
    kind: Kind


class CheckedRow(NamedTuple):
    """A row's values as they are stored (JSON as its text), and the bytes of its text and JSON."""

    row_type: type[Row]
    values: dict[str, Any]
    size: int


@cached
def fields_of(row_type: type[Row]) -> tuple[Field, ...]:
    """A row type's fields in order, each with its kind; worked out once."""
    hints = get_type_hints(row_type, include_extras=True)
    return tuple(Field(field.name, _kind_of(hints[field.name])) for field in fields(row_type))


@cached
def maker_of(row_type: type[R]) -> Callable[[Iterable[Any]], R]:
    """What makes a row of its fields' values, in their order; by its slots, in a third of the constructor's time."""
    slots = [getattr(row_type, field.name).__set__ for field in fields_of(row_type)]
    run = deque[None](maxlen=0).extend

    def make(values: Iterable[Any]) -> R:
        row = object.__new__(row_type)
        run(map(call, slots, repeat(row), values))
        return row

    return make


def check_row(row: Row) -> CheckedRow:
    """Give a row's values to store; whatever is outside the domain is a SerializationError naming the place."""
    values, size, name = {}, 0, ""
    try:
        for name, check, counts in _checks_of(type(row)):
            values[name] = value = check(getattr(row, name))
            if counts and value is not None:
                size += utf8_size(value)
    except ValueError as refused:
        raise refusal(f"{row.TABLE}.{name}", refused) from None
    if size > MAX_ROW_BYTES:
        raise SerializationError(f"{row.TABLE}: {size} bytes of text and JSON in one row, at most {MAX_ROW_BYTES}")
    return CheckedRow(type(row), values, size)


@cached
def _checks_of(row_type: type[Row]) -> list[tuple[str, Callable[[Any], Any], bool]]:
    """Of each field its name, what checks it, and whether its bytes count."""
    return [(name, kind.check, kind.counts) for name, kind in fields_of(row_type)]


def check_field(row_type: type[Row], name: str, value: Any) -> Any:
    """Give one field's value to store or search for, refused as in a row."""
    return check_values(row_type, name, [value])[0]


def check_values(row_type: type[Row], name: str, values: Iterable[Any]) -> list[Any]:
    """Give values of one field, each as :func:`check_field` does."""
    check = next(field.kind.check for field in fields_of(row_type) if field.name == name)
    given = list(values)  # an error of the caller's iterable is the caller's
    try:
        return [check(value) for value in given]
    except ValueError as refused:
        raise refusal(f"{row_type.TABLE}.{name}", refused) from None


def _kind_of(hint: Any) -> Kind:
    options = get_args(hint)
    if NoneType in options:
        return Nullable(_kind_of(options[0]))
    return next(option for option in options if isinstance(option, Kind))


def _items(row: Row) -> list[tuple[str, Any]]:
    return [(field.name, getattr(row, field.name)) for field in fields_of(type(row))]


def _fragment(value: Any, checked: Any) -> Any:
    """JSON fields go in as the value itself, the others as checked (a float as the float it is stored as)."""
    return value if isinstance(checked, JsonText) else checked
