"""Rows for tests: a plausible row of each type, and a Hypothesis strategy for any row of the domain."""

from typing import Any, TypeVar

from hypothesis import strategies as st

from axon_storage.model.rows import CacheRow, Row, fields_of
from axon_storage.model.values import Boolean, Identifier, Integer, Json, Kind, Nullable, Real, Tenant, Text

R = TypeVar("R", bound=Row)

LARGEST = 2**64 - 1

SAMPLE_JSON = {"b": [1, 1.0, LARGEST, -(2**63), 1e300], "a": {"": None, "é": True, "quote": "\"'\\%s:x\n"}}

_SAMPLES: dict[type[Kind], Any] = {
    Integer: 7,
    Real: 0.25,
    Boolean: True,
    Identifier: "name",
    Tenant: "default",
    Text: "a text, \"with\" 'quotes' \\ and\nlines",
    Json: SAMPLE_JSON,
}


def sample(row_type: type[R], tenant: str = "default", **fields: Any) -> R:
    """Make a plausible row; ``fields`` replace its values."""
    values = {name: None if isinstance(kind, Nullable) else _SAMPLES[type(kind)] for name, kind in fields_of(row_type)}
    return row_type(**{**values, "tenant_id": tenant, **fields})


characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(characters, max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(characters, max_size=10), inner, max_size=4),
    max_leaves=12,
)


def rows(row_type: type[R], tenant: str) -> st.SearchStrategy[R]:
    """Return a strategy for the rows of a type."""
    fields = {name: _strategy(kind) for name, kind in fields_of(row_type)}
    fields["tenant_id"] = st.just(tenant)
    if row_type is CacheRow:
        fields["ttl_secs"] = st.none() | st.integers(60, 2**31 - 1)  # an expired entry is not loaded
    return st.builds(row_type, **fields)


def _strategy(kind: Kind) -> st.SearchStrategy[Any]:  # noqa: PLR0911  # one return for each kind
    match kind:
        case Nullable():
            return st.none() | _strategy(kind.kind)
        case Integer():
            return st.integers(kind.low, kind.high) | st.sampled_from([kind.low, kind.high])
        case Identifier():
            return st.text(characters, max_size=kind.high) | st.text("aA é\x01'\"\\%", max_size=5)
        case Real():
            return st.floats(allow_nan=False, allow_infinity=False)
        case Boolean():
            return st.booleans()
        case Text():
            return st.text(characters, max_size=500)
        case _:
            return json_values
