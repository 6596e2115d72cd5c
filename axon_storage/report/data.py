"""The figures of a report, from the summaries of a storage."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from axon_storage.backend import StorageBackend
from axon_storage.model.stats import StorageStats

Series = dict[str, dict[datetime, float]]
"""Named series: for each name, the values by the start of their period."""


@dataclass(slots=True)
class TraceFigures:
    """The traces of one hour. ``latency_ms`` is the sum of their latencies."""

    traces: int = 0
    errors: int = 0
    latency_ms: int = 0


@dataclass(slots=True)
class Report:
    """Everything that the page shows. Costs are in US dollars; days and hours are UTC."""

    since: datetime
    until: datetime
    tenants: list[str]
    stats: StorageStats
    cost_by_flow: Series = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    cost_by_backend: Series = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    cost_by_tenant: dict[str, float] = field(default_factory=dict)
    traces_by_hour: dict[datetime, TraceFigures] = field(default_factory=lambda: defaultdict(TraceFigures))
    events_by_topic: Counter[str] = field(default_factory=Counter)
    rows_by_day: Series = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))


async def collect(storage: StorageBackend, since: datetime, until: datetime, tenants: Iterable[str] | None) -> Report:
    """Read the figures of a period, tenant by tenant. All sums are computed by the database."""
    names = sorted(tenants) if tenants is not None else await storage.tenant_ids()
    report = Report(since.astimezone(UTC), until.astimezone(UTC), names, await storage.stats())
    for name in names:
        view = storage.for_tenant(name)
        await _add_costs(report, view, name)
        await _add_traces(report, view)
        await _add_events(report, view)
    return report


async def _add_costs(report: Report, view: StorageBackend, tenant: str) -> None:
    total = 0.0
    for cost in await view.summarize_costs(by=("day", "flow", "backend"), since=report.since, until=report.until):
        assert cost.period is not None and cost.flow is not None and cost.backend is not None  # noqa: S101, PT018  # grouped by them
        report.cost_by_flow[cost.flow][cost.period] += cost.cost_usd
        report.cost_by_backend[cost.backend][cost.period] += cost.cost_usd
        report.rows_by_day["cost_tracking"][cost.period] += cost.calls
        total += cost.cost_usd
    report.cost_by_tenant[tenant] = total


async def _add_traces(report: Report, view: StorageBackend) -> None:
    for hour in await view.summarize_traces(by="hour", since=report.since, until=report.until):
        assert hour.period is not None  # noqa: S101  # grouped by it
        figures = report.traces_by_hour[hour.period]
        figures.traces += hour.traces
        figures.errors += hour.errors
        figures.latency_ms += hour.latency_ms
        report.rows_by_day["traces"][hour.period.replace(hour=0)] += hour.traces


async def _add_events(report: Report, view: StorageBackend) -> None:
    for event in await view.summarize_events(by=("day", "topic"), since=report.since, until=report.until):
        assert event.period is not None and event.topic is not None  # noqa: S101, PT018  # grouped by them
        report.events_by_topic[event.topic] += event.events
        report.rows_by_day["event_history"][event.period] += event.events
