"""Summaries of costs and traces: exact counts and sums by flow, backend, status, UTC day and hour."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from random import Random
from typing import Any

import pytest

from axon_storage import (
    CostRow,
    CostSummary,
    EventRow,
    EventSummary,
    Recorded,
    Row,
    StorageBackend,
    TraceRow,
    TraceSummary,
)
from axon_storage.model.summaries import PERIODS
from axon_storage.testing.iteration import recorded_at
from axon_storage.testing.samples import sample

DAY, MIDNIGHT, LARGEST = timedelta(days=1), datetime(2026, 3, 1, tzinfo=UTC), 2**64 - 1

NAMES = ["", "a", "a ", "A", "é", "\x01", "💡"]

SUMS = {
    CostRow: ["input_tokens", "output_tokens", "cost_usd"],
    TraceRow: [
        *["steps_executed", "latency_ms", "tokens_input", "tokens_output"],
        *["anchor_checks", "anchor_breaches", "errors", "retries"],
    ],
}


def random_rows(row_type: type[Row], tenant: str, count: int = 60) -> list[Recorded[Any]]:
    """Rows of three days with large numbers, some at the last and first moment of a day."""
    random, instant = Random(count), timedelta(microseconds=1)  # noqa: S311  # for test data
    moments = [MIDNIGHT + timedelta(seconds=random.randrange(3 * 86_400)) for _ in range(count - 4)]
    moments += [MIDNIGHT, MIDNIGHT + DAY - instant, MIDNIGHT + DAY, MIDNIGHT + DAY + timedelta(hours=1) - instant]
    return [recorded_at(moment, _random_row(row_type, tenant, number, random)) for number, moment in enumerate(moments)]


def _random_row(row_type: type[Row], tenant: str, number: int, random: Random) -> Row:
    large = {name: random.choice([0, 7, 2**63 - 1, 2**63, LARGEST, random.getrandbits(64)]) for name in SUMS[row_type]}
    small = {name: value >> 32 for name, value in large.items() if name.startswith(("steps", "anchor", "err", "retr"))}
    fields = {"flow_name": random.choice(NAMES), "backend": random.choice(NAMES), **large, **small}
    if row_type is TraceRow:
        return sample(TraceRow, tenant, **fields, status=random.choice(["ok", "failed"]), trace_id=number)
    return sample(CostRow, tenant, **fields | {"cost_usd": number * 0.25})


def expected(rows: Sequence[Recorded[Any]], by: Sequence[str]) -> list[CostSummary | TraceSummary]:
    """Compute the summaries in Python."""

    def key(recorded: Recorded[Any]) -> list[Any]:
        start = recorded.timestamp.replace(minute=0, second=0, microsecond=0)
        row, periods = recorded.row, {"hour": start, "day": start.replace(hour=0)}
        groups = {"flow": row.flow_name, "backend": row.backend, "status": getattr(row, "status", None), **periods}
        return [groups[name] for name in by]

    found: list[CostSummary | TraceSummary] = []
    for values, group in groupby(sorted(rows, key=key), key=key):
        members = [recorded.row for recorded in group]
        fields = dict(zip(("period" if name in PERIODS else name for name in by), values, strict=True))
        sums = {name: sum(getattr(row, name) for row in members) for name in SUMS[type(members[0])]}
        known: dict[str, Any] = {"flow": None, "backend": None, "period": None, **fields, **sums}
        if isinstance(members[0], TraceRow):
            found.append(TraceSummary(**{"status": None, **known}, traces=len(members)))
        else:
            found.append(CostSummary(**known, calls=len(members)))
    return found


BY: list[str | tuple[str, ...]] = [
    *["flow", "backend", "day", "hour"],
    *[("flow", "day"), ("day", "flow"), ("backend", "flow", "hour"), ()],
]


@pytest.mark.parametrize("by", BY)
async def test_costs_are_counted_and_added_up_exactly_by_group(
    storage: StorageBackend, by: str | tuple[str, ...]
) -> None:
    tenant = storage.current_tenant()
    rows = random_rows(CostRow, tenant)
    await storage.save_many(rows)
    assert await storage.summarize_costs(by=by) == expected(rows, [by] if isinstance(by, str) else by)


@pytest.mark.parametrize("by", [*BY, "status", ["status", "day"]])
async def test_traces_are_counted_and_added_up_exactly_by_group(
    storage: StorageBackend, by: str | tuple[str, ...]
) -> None:
    tenant = storage.current_tenant()
    rows = random_rows(TraceRow, tenant)
    await storage.save_many(rows)
    assert await storage.summarize_traces(by=by) == expected(rows, [by] if isinstance(by, str) else by)


async def test_a_sum_may_be_larger_than_any_column(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.save_many(sample(CostRow, tenant, input_tokens=LARGEST, output_tokens=2**63) for _ in range(1_000))
    [total] = await storage.summarize_costs(by="flow")
    assert (total.calls, total.input_tokens, total.output_tokens) == (1_000, 1_000 * LARGEST, 1_000 * 2**63)
    assert total.cost_usd == 250.0
    assert [type(value) for value in (total.calls, total.input_tokens, total.cost_usd)] == [int, int, float]


async def test_a_summary_can_be_limited_to_a_flow_and_a_period(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    rows = random_rows(CostRow, tenant) + random_rows(TraceRow, tenant)
    await storage.save_many(rows)
    since, until = MIDNIGHT + DAY, MIDNIGHT + 2 * DAY
    for row_type, summarize in ((CostRow, storage.summarize_costs), (TraceRow, storage.summarize_traces)):
        period = [each for each in rows if type(each.row) is row_type and since <= each.timestamp < until]
        of_flow = [each for each in period if each.row.flow_name == "a"]
        call: Any = summarize
        assert await call(by="backend", since=since, until=until) == expected(period, ["backend"])
        assert await call(by=["hour"], flow="a", since=since, until=until) == expected(of_flow, ["hour"])
        assert await call(by="day", flow="no such flow") == []
        assert await call(by=(), until=MIDNIGHT) == []


async def test_a_trace_that_is_saved_again_is_counted_once_in_the_period_of_its_first_save(
    storage: StorageBackend,
) -> None:
    tenant = storage.current_tenant()
    await storage.save_many(
        [recorded_at(MIDNIGHT, sample(TraceRow, tenant, errors=1)), sample(TraceRow, tenant, errors=5)]
    )
    [day] = await storage.summarize_traces(by="day")
    assert (day.period, day.traces, day.errors) == (MIDNIGHT, 1, 5)


async def test_a_transaction_summarizes_what_it_wrote(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    async with storage.transaction() as transaction:
        await transaction.record_cost(sample(CostRow, tenant))
        assert [each.calls for each in await transaction.summarize_costs(by="backend")] == [1]


async def test_events_are_counted_by_topic_and_period(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    events = [
        recorded_at(MIDNIGHT + timedelta(hours=hour), sample(EventRow, tenant, topic=topic))
        for hour in (0, 1, 23, 24)
        for topic in NAMES[: 1 + hour % 3]
    ]
    await storage.save_many(events)
    topics = Counter(recorded.row.topic for recorded in events)
    assert await storage.summarize_events(by="topic") == [
        EventSummary(topic=topic, period=None, events=topics[topic]) for topic in sorted(topics)
    ]
    second_day = await storage.summarize_events(by=["day", "topic"], topic="", since=MIDNIGHT + DAY)
    assert second_day == [EventSummary(topic="", period=MIDNIGHT + DAY, events=1)]
    assert await storage.summarize_events(by="hour", until=MIDNIGHT) == []
