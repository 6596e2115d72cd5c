"""The HTML page of a report."""

from collections.abc import Mapping
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from axon_storage.report import plots
from axon_storage.report.data import Report

_MOST_TOPICS = 20


def render(report: Report) -> str:
    """Return the page. Names from the database are escaped."""
    environment = Environment(
        loader=PackageLoader("axon_storage.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"count": _count, "bytes": _bytes, "usd": _usd}
    return environment.get_template("report.html").render(
        report=report,
        plots=_plots(report),
        total_cost=sum(report.cost_by_tenant.values()),
        traces=sum(hour.traces for hour in report.traces_by_hour.values()),
        errors=sum(hour.errors for hour in report.traces_by_hour.values()),
        version=version("axon-storage"),
    )


def _plots(report: Report) -> dict[str, Markup]:
    """Return the plots that have data. Their SVG is safe: matplotlib escapes the names in it."""
    since, until = report.since, report.until
    drawn = {}
    if any(report.cost_by_tenant.values()):
        drawn["cost_by_flow"] = plots.stacked_days(report.cost_by_flow, since, until, "US dollars")
        drawn["cost_by_backend"] = plots.stacked_days(report.cost_by_backend, since, until, "US dollars")
    if report.traces_by_hour:
        drawn["traces"] = plots.traces_by_hour(report.traces_by_hour, since, until)
    if report.events_by_topic:
        drawn["topics"] = plots.bars(dict(report.events_by_topic.most_common(_MOST_TOPICS)), "events", _count)
    if report.rows_by_day:
        drawn["growth"] = plots.stacked_days(report.rows_by_day, since, until, "rows recorded")
    if sizes := _sizes(report):
        drawn["sizes"] = plots.bars(sizes, "bytes, with indexes", _bytes)
    return {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704  # escaped by matplotlib


def _sizes(report: Report) -> Mapping[str, float]:
    known = {table.table: float(table.bytes) for table in report.stats.tables if table.bytes is not None}
    return dict(sorted(known.items(), key=lambda item: -item[1]))


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _usd(amount: float) -> str:
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:.4f}"


def _bytes(number: float | None) -> str:
    if number is None:
        return "unknown"
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"
