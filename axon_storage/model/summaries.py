"""The results of the ``summarize_*`` methods: counts and sums of rows, by group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from axon_storage.errors import InvalidArgumentError
from axon_storage.model.rows import CostRow, EventRow, Row, TraceRow

PERIODS: Mapping[str, int] = {"day": 86_400_000, "hour": 3_600_000}
"""The periods by which rows can be grouped, in milliseconds. A period begins at a multiple of its length since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The base class of summaries. ``GROUPS``: the fields of groups, with the fields of the row. ``COUNT``: a field."""

    ROW: ClassVar[type[Row]]
    GROUPS: ClassVar[Mapping[str, str]]
    COUNT: ClassVar[str]

    period: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSummary(Summary):
    """The number of costs (``calls``) of one group, and the sums of their fields.

    ``flow``, ``backend``, ``period`` (the UTC start of the day or hour): None if the costs were not grouped by it. The
    sums of integers are exact. ``cost_usd`` is a sum of floats that the database computes, so its last digits depend on
    the order in which the database adds.
    """

    ROW: ClassVar[type[Row]] = CostRow
    GROUPS: ClassVar[Mapping[str, str]] = {"flow": "flow_name", "backend": "backend"}
    COUNT: ClassVar[str] = "calls"

    flow: str | None
    backend: str | None
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSummary(Summary):
    """The number of events of one group.

    ``topic``, ``period`` (the UTC start of the day or hour): None if the events were not grouped by it.
    """

    ROW: ClassVar[type[Row]] = EventRow
    GROUPS: ClassVar[Mapping[str, str]] = {"topic": "topic"}
    COUNT: ClassVar[str] = "events"

    topic: str | None
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary(Summary):
    """The number of traces of one group, and the exact sums of their fields.

    ``flow``, ``backend``, ``status``, ``period`` (the UTC start of the day or hour): None if the traces were not
    grouped by it. The period of a trace is that of its first save. ``latency_ms`` is the sum of the durations.
    """

    ROW: ClassVar[type[Row]] = TraceRow
    GROUPS: ClassVar[Mapping[str, str]] = {"flow": "flow_name", "backend": "backend", "status": "status"}
    COUNT: ClassVar[str] = "traces"

    flow: str | None
    backend: str | None
    status: str | None
    traces: int
    steps_executed: int
    latency_ms: int
    tokens_input: int
    tokens_output: int
    anchor_checks: int
    anchor_breaches: int
    errors: int
    retries: int


def check_groups(summary_type: type[Summary], by: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names to group by; raise an InvalidArgumentError unless they are a summary's, and different."""
    known = [*summary_type.GROUPS, *PERIODS]
    names = (by,) if isinstance(by, str) else tuple(by) if isinstance(by, tuple | list) else (None,)
    if not all(name in known for name in names):
        raise InvalidArgumentError(f"by must be {', '.join(map(repr, known))}, or a tuple or list of some of them")
    if len(set(names)) < len(names) or PERIODS.keys() <= set(names):
        raise InvalidArgumentError("by must not contain a name twice, or both 'day' and 'hour'")
    return tuple(str(name) for name in names)
