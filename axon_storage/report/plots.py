"""The plots of a report, as SVG."""

import io
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from axon_storage.report.data import Series, TraceFigures

_COLOURS = ("#0b6e4f", "#5f7fbf", "#e0a458", "#c8553d", "#9b72b0", "#3fa7a0", "#8a8d3c", "#d38fa6", "#9a9a9a")
_OTHER = "(other)"
_MAX_SERIES = 8
_LONGEST_LABEL = 40

# Text stays text, so that it can be searched and copied. "$" would begin a formula.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "axon_storage",
    "text.parse_math": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def stacked_days(series: Series, since: datetime, until: datetime, unit: str) -> str:
    """Draw one stacked bar per day. The series beyond the largest eight are drawn as one."""
    largest = _largest(series)
    days = _days(since, until)

    def draw(axes: Axes) -> None:
        bottom = [0.0] * len(days)
        for colour, (name, values) in zip(_COLOURS, largest.items(), strict=False):
            heights = [values.get(day, 0.0) for day in days]
            axes.bar(_dates(days), heights, bottom=bottom, width=0.8, color=colour, label=_short(name), align="edge")
            bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
        axes.set_ylabel(unit)
        _format_dates(axes, days[0], days[-1] + timedelta(days=1))
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)

    return _svg(draw)


def traces_by_hour(hours: Mapping[datetime, TraceFigures], since: datetime, until: datetime) -> str:
    """Draw the traces and errors of each hour, and below them the mean latency of the hour's traces."""
    times = sorted(hours)
    dates, width = _dates(times), 1 / 24

    def draw(counts: Axes, latencies: Axes) -> None:
        counts.bar(
            dates, [hours[time].traces for time in times], width, color=_COLOURS[0], align="edge", label="traces"
        )
        errors = [hours[time].errors for time in times]
        counts.bar(dates, errors, width / 2, color=_COLOURS[3], align="edge", label="errors")
        counts.set_ylabel("per hour")
        counts.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
        means = [hours[time].latency_ms / hours[time].traces for time in times]
        latencies.plot(dates, means, color=_COLOURS[1], marker=".", markersize=3, linewidth=1)
        latencies.set_ylabel("mean latency, ms")
        latencies.set_ylim(bottom=0)
        _format_dates(latencies, since, until)

    return _svg(draw, height=4.2, nrows=2, sharex=True, height_ratios=[3, 2])


def bars(values: Mapping[str, float], unit: str, label: Callable[[float], str]) -> str:
    """Draw one horizontal bar for each name, the largest on top, with its value."""
    names = list(values)[::-1]

    def draw(axes: Axes) -> None:
        drawn = axes.barh([_short(name) for name in names], [values[name] for name in names], color=_COLOURS[0])
        axes.bar_label(drawn, [label(values[name]) for name in names], padding=3)
        axes.set_xlabel(unit)
        axes.set_xticks([])  # each bar shows its value
        axes.margins(x=0.15)

    return _svg(draw, height=0.8 + 0.25 * len(names))


def _largest(series: Series) -> Series:
    """Return the series with the largest sums, and one for the rest."""
    order = sorted(series, key=lambda name: (-sum(series[name].values()), name))
    largest = {name: dict(series[name]) for name in order[:_MAX_SERIES]}
    for name in order[_MAX_SERIES:]:
        other = largest.setdefault(_OTHER, {})
        for day, value in series[name].items():
            other[day] = other.get(day, 0.0) + value
    return largest


def _days(since: datetime, until: datetime) -> list[datetime]:
    first = since.replace(hour=0, minute=0, second=0, microsecond=0)
    return [first + timedelta(days=number) for number in range((until - first).days + 1)]


def _dates(times: Sequence[datetime]) -> list[float]:
    """Return times as matplotlib's numbers of days since 1970."""
    return [time.timestamp() / 86_400 for time in times]


def _format_dates(axes: Axes, since: datetime, until: datetime) -> None:
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib left it untyped
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # as above
    axes.set_xlim(*_dates([since, until]))


def _short(name: str) -> str:
    """Return a name that fits into a legend: one line, without control characters, and not hidden by matplotlib."""
    shown = "".join(character if character.isprintable() else "·" for character in name) or "(empty)"
    shown = shown if len(shown) <= _LONGEST_LABEL else f"{shown[: _LONGEST_LABEL - 1]}…"
    return f" {shown}" if shown.startswith("_") else shown  # matplotlib leaves out labels that begin with "_"


def _svg(draw: Callable[..., None], *, height: float = 3.2, **subplots: Any) -> str:
    """Draw a figure with ``subplots``, and return it as an SVG element. ``draw`` is called with the axes."""
    output = io.StringIO()
    with mpl.rc_context(_STYLE):  # matplotlib reads the style when text is created, and again when it is written
        figure = Figure(figsize=(9.5, height), layout="constrained")
        axes = figure.subplots(**subplots)
        draw(*([axes] if isinstance(axes, Axes) else axes))
        figure.savefig(output, format="svg", metadata={"Date": None, "Creator": None})
    _declaration, tag, element = output.getvalue().partition("<svg")
    return tag + element
