"""Row types: their fields, immutability and JSON."""

import dataclasses
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axon_storage import CacheRow, CostRow, EventRow, Row, SerializationError, SessionRow, TraceRow
from axon_storage.model.rows import ROW_TYPES, check_row, fields_of
from axon_storage.model.values import Boolean, Integer, Json, Kind, Nullable, Real, Text
from axon_storage.model.values import Identifier as IdentifierKind
from axon_storage.sql.tables import TABLES
from axon_storage.sql.types import Flag, Float64, Identifier, Int32, JsonDocument, LongText, UInt32, UInt64
from axon_storage.testing.samples import rows, sample

# The columns of a table beside the fields of its row type.
STAMPS = (
    {"traces": {"created_id"}, "execution_cache": {"expires_at", "updated_at"}}
    | {name: {"id", "timestamp_utc"} for name in ("audit_log", "event_history", "cost_tracking")}
    | {
        name: {"updated_at"}
        for name in ("sessions", "daemons", "axon_stores", "dataspaces", "hibernations", "schedules")
    }
)


@pytest.mark.parametrize("row_type", ROW_TYPES)
def test_a_table_has_the_columns_of_its_row_type(row_type: type[Row]) -> None:
    table = TABLES[row_type]
    columns = [column for column in table.c if column.name not in STAMPS.get(table.name, set())]
    assert [column.name for column in columns] == [field.name for field in dataclasses.fields(row_type)]
    assert len(columns) + len(STAMPS.get(table.name, set())) == len(table.c)
    for column, field in zip(columns, fields_of(row_type), strict=True):
        assert column.nullable == isinstance(field.kind, Nullable)
        inner = field.kind.kind if isinstance(field.kind, Nullable) else field.kind
        assert repr(column.type) == _column_type(inner)
    assert [column.name for column in table.primary_key] == ["tenant_id", *(row_type.KEY or ("id",))]


def _column_type(kind: Kind) -> str:
    match kind:
        case Integer(name=name):
            return repr({"u32": UInt32(), "u64": UInt64(), "i32": Int32()}[name])
        case IdentifierKind(high=high):
            return repr(Identifier(high))
        case _:
            return repr({Real: Float64(), Boolean: Flag(), Text: LongText(), Json: JsonDocument()}[type(kind)])


@pytest.mark.parametrize("row_type", ROW_TYPES)
def test_rows_are_frozen_slotted_and_keyword_only(row_type: type[Row]) -> None:
    row = sample(row_type)
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.tenant_id = "other"  # type: ignore[misc]  # on purpose
    assert not hasattr(row, "__dict__")
    with pytest.raises(TypeError):
        row_type("default")  # type: ignore[call-arg]  # on purpose
    assert dataclasses.replace(row, tenant_id="other").tenant_id == "other"


@pytest.mark.parametrize("row_type", ROW_TYPES)
@given(data=st.data())
def test_a_checked_row_makes_its_row_again(row_type: type[Row], data: st.DataObject) -> None:
    row = data.draw(rows(row_type, "default"))
    made = check_row(row).to_row()
    assert type(made) is row_type
    assert made.to_json() == row.to_json()


def test_the_row_of_a_checked_row_shares_no_json_with_the_row_of_the_caller() -> None:
    payload = {"list": [1]}
    checked = check_row(sample(EventRow, payload=payload))
    payload["list"].append(2)
    assert checked.to_row() == checked.to_row() == sample(EventRow, payload={"list": [1]})


@pytest.mark.parametrize("row_type", ROW_TYPES)
@given(data=st.data())
def test_a_row_converted_to_json_and_back_is_the_same(row_type: type[Row], data: st.DataObject) -> None:
    row = data.draw(rows(row_type, "default"))
    again = row_type.from_json(row.to_json())
    assert again == row
    assert again.to_json() == row.to_json()


def test_json_has_one_member_for_each_field_in_order() -> None:
    row = sample(TraceRow, events=[1, 1.0, {"b": None, "a": ""}])
    members = json.loads(row.to_json())
    assert list(members) == [field.name for field in dataclasses.fields(TraceRow)]
    assert members["events"] == [1, 1.0, {"b": None, "a": ""}]
    assert isinstance(row.to_json(), bytes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (b"{", "sessions: not JSON: Expecting property name"),
        (b"[]", "sessions: list is not a JSON object"),
        (b"\xff", "sessions: not UTF-8 at byte 0"),
        (b'{"a": 1, "a": 2}', "sessions: a key occurs twice"),
        (b"[" * 100_000, "sessions: more than 64 levels"),
        ({"extra": 1}, "sessions.extra: unknown field"),
        ({"value": None}, "sessions.value: None is not a str"),
        ({"value": ...}, "sessions.value: missing field"),
        ({"key": "\ud800"}, "sessions.key: a lone surrogate at character 0"),
    ],
)
def test_json_that_is_not_a_row_is_refused(change: bytes | dict[str, object], message: str) -> None:
    data: bytes | str
    if isinstance(change, bytes):
        data = change
    else:
        members = json.loads(sample(SessionRow).to_json()) | change
        data = json.dumps({name: value for name, value in members.items() if value is not ...})
    with pytest.raises(SerializationError, match="^serialization error: " + message):
        SessionRow.from_json(data)


@pytest.mark.parametrize("row_type", [Row, *ROW_TYPES])
def test_from_json_refuses_other_types_than_bytes_and_str(row_type: type[Row]) -> None:
    odd: list[Any] = [None, 5, 1.5, [], {}, object(), ..., bytearray(b"{}"), memoryview(b"{}"), Row]
    for data in odd:
        with pytest.raises(SerializationError, match=rf"{row_type.TABLE}: .* is neither bytes nor str$"):
            row_type.from_json(data)


members = st.dictionaries(
    st.sampled_from([field.name for field in fields_of(CacheRow)]) | st.text(),
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3),
)


@given(st.binary() | st.text() | members.map(json.dumps))
def test_from_json_of_any_data_is_a_row_or_a_serialization_error(data: bytes | str) -> None:
    with suppress(SerializationError):
        assert CacheRow.from_json(data).to_json()


@pytest.mark.parametrize("number", ["18446744073709551616", "NaN", "Infinity", "1e400", "1" * 5000])
def test_numbers_of_json_outside_the_domain_are_refused(number: str) -> None:
    data = sample(CacheRow, result=123456).to_json().decode().replace("123456", number)
    with pytest.raises(SerializationError, match="execution_cache"):
        CacheRow.from_json(data)


def test_an_int_in_a_float_field_becomes_a_float() -> None:
    data = sample(CostRow, cost_usd=2.0).to_json().decode().replace("2.0", "2")
    assert CostRow.from_json(data).to_json() == sample(CostRow, cost_usd=2.0).to_json()


def test_to_json_of_a_row_outside_the_domain_is_refused() -> None:
    with pytest.raises(SerializationError, match=r"traces\.trace_id: -1 is outside u64"):
        sample(TraceRow, trace_id=-1).to_json()


def test_a_row_without_a_tenant_has_no_json() -> None:
    row = SessionRow(scope="s", key="k", value="v", source_step="")
    with pytest.raises(SerializationError, match=r"sessions\.tenant_id: not set"):
        row.to_json()
    with pytest.raises(SerializationError, match=r"sessions\.tenant_id: missing field"):
        SessionRow.from_json(b'{"scope": "s", "key": "k", "value": "v", "source_step": ""}')
