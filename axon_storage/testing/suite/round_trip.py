"""Values are read as they were stored: every row type, the whole domain, and difficult values."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axon_storage import CacheRow, CostRow, EventRow, Row, SessionRow, StorageBackend, TraceRow
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import LARGEST, rows, sample
from axon_storage.testing.verbs import KEYED, delete, load, store

MEBIBYTE = 2**20


@pytest.mark.parametrize("row_type", ROW_TYPES)
async def test_every_row_type_is_read_as_it_was_stored(storage: StorageBackend, row_type: type[Row]) -> None:
    tenant = storage.current_tenant()
    row = sample(row_type, tenant)
    await store(storage, row)
    [restored] = await load(storage, row_type)
    assert restored == row
    assert restored.to_json() == row.to_json()  # equality is not enough: 1 is not 1.0, and keys keep their order


@pytest.mark.parametrize("row_type", ROW_TYPES)
@given(data=st.data())
@settings(max_examples=25)
async def test_any_row_of_the_domain_is_read_exactly(
    storage: StorageBackend, row_type: type[Row], data: st.DataObject
) -> None:
    tenant = storage.current_tenant()
    row = data.draw(rows(row_type, tenant))
    await store(storage, row)
    if row_type in KEYED:
        [restored] = await load(storage, row_type)
        await delete(storage, row)
    else:
        restored, *_ = await load(storage, row_type)
    assert restored.to_json() == row.to_json()


@pytest.mark.parametrize("number", [0, 1, 2**31, 2**32, 2**63 - 1, 2**63, LARGEST])
async def test_u64_holds_its_full_range_as_value_and_as_key(storage: StorageBackend, number: int) -> None:
    tenant = storage.current_tenant()
    row = sample(TraceRow, tenant, trace_id=number, latency_ms=number, tokens_output=number, replay_of=number)
    await storage.save_trace(row)
    assert await storage.get_trace(number) == row
    assert await storage.load_traces(1) == [row]
    assert await storage.delete_traces([number]) == 1


@pytest.mark.parametrize("number", [0, 2**31 - 1, 2**31, 2**32 - 1])
async def test_u32_holds_its_full_range(storage: StorageBackend, number: int) -> None:
    tenant = storage.current_tenant()
    row = sample(TraceRow, tenant, steps_executed=number, retries=number)
    await storage.save_trace(row)
    assert await storage.load_traces(1) == [row]


@pytest.mark.parametrize("number", [1, 2**31 - 1])
async def test_i32_holds_its_full_range(storage: StorageBackend, number: int) -> None:
    tenant = storage.current_tenant()
    row = sample(CacheRow, tenant, ttl_secs=number)
    await storage.save_cache_entry(row)
    assert await storage.load_cache_entries() == [row]


@pytest.mark.parametrize("number", [0.1, 5e-324, 1.7976931348623157e308, -1e-300, 2.0**53 + 2, 3, -0.0])
async def test_floats_are_exact_and_negative_zero_is_zero(storage: StorageBackend, number: float) -> None:
    tenant = storage.current_tenant()
    await storage.record_cost(sample(CostRow, tenant, cost_usd=number))
    [restored] = await storage.query_costs(None, 1)
    assert restored.cost_usd == number
    assert repr(restored.cost_usd) == repr(float(number) + 0.0)


async def test_empty_and_none_are_two_values(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    empty = sample(TraceRow, tenant, trace_id=1, correlation_id="", flow_name="", events="", annotations=[])
    none = sample(TraceRow, tenant, trace_id=2, correlation_id=None, events=None, annotations={})
    await storage.save_many([empty, none])
    assert await storage.load_traces(2) == [none, empty]


async def test_empty_strings_are_keys_and_texts(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    row = sample(SessionRow, tenant, scope="", key="", value="")
    await storage.save_session(row)
    assert await storage.session_scopes() == [""]
    assert await storage.load_sessions("") == [row]
    assert await storage.get_session("", "") == row
    assert await storage.delete_session("", "")


@pytest.mark.parametrize(
    "text",
    ["a" * 70_000, "é" * 2_500_000, '"' * 7 * MEBIBYTE, "\\'" * 1_000_000, "😀%s:name?$1\r\n\t\x01\x1a\x7f\ufeff"],
    ids=["70 kB", "5 MB", "7 MiB of quotes", "2 MB of escapes", "odd characters"],
)
async def test_texts_are_read_whole(storage: StorageBackend, text: str) -> None:
    tenant = storage.current_tenant()
    await storage.save_session(sample(SessionRow, tenant, value=text))
    [restored] = await storage.load_sessions("name")
    assert restored.value == text


def _nested(levels: int) -> Any:
    value: Any = []
    for level in range(levels - 1):
        value = {"level": value} if level % 2 else [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        1, 1.0, 0.0, -0.0, True, None, "", [], {}, LARGEST, -(2**63), 1e300, 5e-324, 1e2, 2**53 + 1,
        {"b": 1, "a": 2, "": 3, "B": 4},
        {"1": 1, "nested": {"z": [1, 1.0, "1"], "y": None}},
        ["😀", "é", "e\u0301", "\u2028", "</script>", "\\u0041", "\x1f"],
        _nested(64),
    ],
    ids=repr,
)  # fmt: skip
async def test_json_is_read_with_its_number_types_and_key_order(storage: StorageBackend, value: Any) -> None:
    tenant = storage.current_tenant()
    row = sample(EventRow, tenant, payload=value)
    await storage.append_event(row)
    [restored] = await storage.query_events(None, 1)
    assert restored.to_json() == row.to_json()
    assert type(restored.payload) is type(value)


async def test_five_megabytes_of_json_are_read_whole(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    row = sample(EventRow, tenant, payload=[{"é": '"' * 10}] * 150_000)
    await storage.append_event(row)
    assert await storage.query_events(None, 1) == [row]
