"""Values outside the domain are refused before anything is sent, by an error that names the field."""

from collections import OrderedDict
from enum import IntEnum, StrEnum
from typing import Any

import pytest

from axon_storage import (
    CacheRow,
    CostRow,
    EventRow,
    Row,
    ScheduleRow,
    SerializationError,
    SessionRow,
    StorageBackend,
    TraceRow,
)
from axon_storage.model.rows import ROW_TYPES, fields_of
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import load, store


class Level(IntEnum):
    """Integers of a host that are not plain int."""

    HIGH = 3


class State(StrEnum):
    """Strings of a host that are not plain str."""

    DONE = "done"


def _levels(count: int) -> Any:
    value: Any = []
    for _ in range(count - 1):
        value = [value]
    return value


_endless: list[Any] = []
_endless += [_endless, _endless]

_exploding: Any = "x" * 1000
for _ in range(40):
    _exploding = [_exploding] * 10

JSON_REFUSALS: list[tuple[Any, str]] = [
    (float("nan"), "payload: NaN is not a JSON number"),
    ([1, {"a": float("inf")}], "payload[1].a: Infinity is not a JSON number"),
    (2**64, "payload: 18446744073709551616 is outside JSON's integers"),
    (-(2**63) - 1, "payload: -9223372036854775809 is outside JSON's integers"),
    (10**5000, "payload: an integer of 16610 bits is outside JSON's integers"),
    ("a\0b", "payload: U+0000 at character 1"),
    ({"a\0": 1}, "payload['a\\x00']: U+0000 at character 1"),
    (["\ud800"], "payload[0]: a lone surrogate at character 0"),
    ({"two words": {1: 2}}, "payload['two words']: a key of type int, not str"),
    ((1, 2), "payload: tuple is not a JSON value"),
    ({1, 2}, "payload: set is not a JSON value"),
    (b"bytes", "payload: bytes is not a JSON value"),
    (object(), "payload: object is not a JSON value"),
    (type("Text", (str,), {})("x"), "payload: Text is not a JSON value"),
    ({"level": Level.HIGH}, "payload.level: Level is not a JSON value"),
    (State.DONE, "payload: State is not a JSON value"),
    (OrderedDict(a=1), "payload: OrderedDict is not a JSON value"),
    (_levels(65), "more than 64 levels"),
    (_endless, "more than 64 levels"),
    (_exploding, "more than 7340032 bytes"),
    ('"' * 6 * 2**20, "12582914 bytes of text and JSON in one row, at most 7340032"),
]

FIELD_REFUSALS: list[tuple[type[Row], str, Any, str]] = [
    (TraceRow, "trace_id", -1, "traces.trace_id: -1 is outside u64"),
    (TraceRow, "trace_id", 2**64, "traces.trace_id: 18446744073709551616 is outside u64"),
    (TraceRow, "trace_id", True, "traces.trace_id: True is not an integer"),
    (TraceRow, "trace_id", Level.HIGH, "traces.trace_id: Level is not an integer"),
    (TraceRow, "status", State.DONE, "traces.status: State is not a str"),
    (TraceRow, "latency_ms", 1.0, "traces.latency_ms: 1.0 is not an integer"),
    (TraceRow, "latency_ms", None, "traces.latency_ms: None is not an integer"),
    (TraceRow, "retries", 2**32, "traces.retries: 4294967296 is outside u32"),
    (TraceRow, "replay_of", "7", "traces.replay_of: str is not an integer"),
    (TraceRow, "flow_name", "x" * 256, "traces.flow_name: 256 characters, at most 255"),
    (TraceRow, "flow_name", None, "traces.flow_name: None is not a str"),
    (TraceRow, "source_file", "x" * 901, "traces.source_file: 901 characters, at most 900"),
    (TraceRow, "correlation_id", "\0", "traces.correlation_id: U+0000 at character 0"),
    (SessionRow, "key", "a\udfffb", "sessions.key: a lone surrogate at character 1"),
    (SessionRow, "key", b"a", "sessions.key: bytes is not a str"),
    (SessionRow, "value", "x" * 7 * 2**20 + "y", "sessions: 7340033 bytes of text and JSON in one row"),
    (SessionRow, "value", "é" * 7 * 2**19 + "y", "sessions: 7340033 bytes of text and JSON in one row"),
    (SessionRow, "value", "secret " * 20 + "\0", "sessions.value: U+0000 at character 140"),
    (CacheRow, "ttl_secs", 2**31, "execution_cache.ttl_secs: 2147483648 is outside i32"),
    (CacheRow, "ttl_secs", -(2**31) - 1, "execution_cache.ttl_secs: -2147483649 is outside i32"),
    (CostRow, "cost_usd", float("nan"), "cost_tracking.cost_usd: NaN is not a finite float"),
    (CostRow, "cost_usd", float("-inf"), "cost_tracking.cost_usd: -Infinity is not a finite float"),
    (CostRow, "cost_usd", True, "cost_tracking.cost_usd: True is not a float"),
    (CostRow, "cost_usd", "1", "cost_tracking.cost_usd: str is not a float"),
    (CostRow, "cost_usd", 2**53 + 1, "cost_tracking.cost_usd: 9007199254740993 is not exact as a float"),
    (CostRow, "cost_usd", 10**400, "cost_tracking.cost_usd: an integer of 1329 bits is not exact as a float"),
    (ScheduleRow, "enabled", 1, "schedules.enabled: 1 is not a bool"),
]


@pytest.mark.parametrize(("value", "message"), JSON_REFUSALS, ids=[message for _, message in JSON_REFUSALS])
async def test_json_outside_the_domain(storage: StorageBackend, value: Any, message: str) -> None:
    tenant = storage.current_tenant()
    with pytest.raises(SerializationError) as refused:
        await storage.append_event(sample(EventRow, tenant, payload=value))
    assert str(refused.value).startswith("serialization error: append_event: event_history")
    assert message in str(refused.value)
    await _works_on(storage, tenant)


@pytest.mark.parametrize(
    ("row_type", "field", "value", "message"), FIELD_REFUSALS, ids=[message for *_, message in FIELD_REFUSALS]
)
async def test_fields_outside_the_domain(
    storage: StorageBackend, row_type: type[Row], field: str, value: Any, message: str
) -> None:
    tenant = storage.current_tenant()
    row = sample(row_type, tenant, **{field: value})
    for refusing in (store(storage, row), storage.save_many([sample(TraceRow, tenant), row])):
        with pytest.raises(SerializationError) as refused:
            await refusing
        assert message in str(refused.value)
        assert "secret" not in str(refused.value)
        assert not refused.value.transient
    assert await load(storage, row_type) == []
    await _works_on(storage, tenant)


async def test_no_message_quotes_more_than_80_characters(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    for value in ("x" * 300, {"x" * 300: {"x" * 300: float("nan")}}, [[[{"x" * 90: {"x" * 90: {"x" * 90: b""}}}]]]):
        row = sample(EventRow, tenant, topic="x" * 300) if isinstance(value, str) else sample(
            EventRow, tenant, payload=value
        )  # fmt: skip
        with pytest.raises(SerializationError) as refused:
            await storage.append_event(row)
        assert str(refused.value).count("x") <= 80


async def test_keys_outside_the_domain_are_refused_as_in_a_row(storage: StorageBackend) -> None:
    calls = {
        "get_trace: traces.trace_id": storage.get_trace(-1),
        "delete_traces: traces.trace_id": storage.delete_traces([1, 2**64]),
        "get_session: sessions.key": storage.get_session("scope", "x" * 256),
        "load_sessions: sessions.scope": storage.load_sessions("\0"),
        "delete_daemon: daemons.name": storage.delete_daemon("\ud800"),
        "get_daemon: daemons.name": storage.get_daemon("\0"),
        "get_hibernation: hibernations.id": storage.get_hibernation("x" * 256),
        "delete_hibernation: hibernations.id": storage.delete_hibernation(7),  # type: ignore[arg-type]  # on purpose
        "query_events: event_history.topic": storage.query_events("x" * 256, 1),
        "query_costs: cost_tracking.flow_name": storage.query_costs("\0", 1),
        "delete_cache_entry: execution_cache.cache_key": storage.delete_cache_entry("a", "\0"),
    }
    for place, call in calls.items():
        with pytest.raises(SerializationError) as refused:
            await call
        assert str(refused.value).startswith(f"serialization error: {place}: ")
        assert refused.value.operation == place.partition(":")[0]


@pytest.mark.parametrize("row_type", ROW_TYPES)
async def test_a_row_of_another_type_is_refused(storage: StorageBackend, row_type: type[Row]) -> None:
    tenant = storage.current_tenant()
    other = sample(EventRow if row_type is not EventRow else CostRow, tenant)
    own = sample(row_type, tenant)
    with pytest.raises(SerializationError, match=f"{type(other).__name__} is not a {row_type.__name__}"):
        # call the method of one row type with a row of another
        await store(storage, own, given=other)
    kin = type("Kin", (row_type,), {"__slots__": ()})(**{name: getattr(own, name) for name, _ in fields_of(row_type)})
    with pytest.raises(SerializationError, match=f"Kin is not a {row_type.__name__}"):
        await store(storage, own, given=kin)
    with pytest.raises(SerializationError, match="Kin is not a Row"):
        await storage.save_many([kin])
    with pytest.raises(SerializationError, match="dict is not a Row"):
        await storage.save_many([{"tenant_id": tenant}])  # type: ignore[list-item]  # on purpose


async def _works_on(storage: StorageBackend, tenant: str) -> None:
    """Check that nothing was stored and that the next call works."""
    assert await storage.query_events(None, 9) == []
    event = sample(EventRow, tenant)
    await storage.append_event(event)
    assert await storage.query_events(None, 9) == [event]
