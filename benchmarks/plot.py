"""The plot: each contender's ratio to the raw driver, one panel a database."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.results import Results
from benchmarks.timing import Times

_COLOURS = {
    "raw-no-reset": "#9a9a9a",
    "upstream": "#5b5b5b",
    "axon": "#0b6e4f",
    "axon-alone": "#8ccfb6",
    "core": "#c8553d",
    "advanced-alchemy": "#e0a458",
    "langgraph": "#5f7fbf",
    "openai-agents": "#9b72b0",
}
_COLUMNS = 2
_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)


def draw(results: Results, file: Path) -> None:
    """Draw all databases that took part into an SVG file."""
    panels = results.times
    if not panels:
        return
    mpl.rcParams["svg.hashsalt"] = "benchmarks"  # the same run is the same file
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(14, 7.5 * rows), layout="constrained")
    axes = figure.subplots(rows, min(_COLUMNS, len(panels)), squeeze=False).flat
    for axis, (database, works) in zip(axes, panels.items(), strict=False):
        _draw_panel(axis, database, works)
    for axis in list(axes)[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle("Speed as a ratio to the raw driver's on the same work (right of the line: faster)")
    figure.savefig(file, format="svg", metadata={"Date": None})


def _draw_panel(axis: Any, database: str, works: dict[str, Times]) -> None:
    names = [name for name in _COLOURS if any(name in times.calls for times in works.values())]
    height = 0.85 / max(1, len(names))
    for position, name in enumerate(names):
        places = [(y, times) for y, times in enumerate(works.values()) if {name, "raw"} <= times.calls.keys()]
        axis.barh(
            [y + (position - len(names) / 2 + 0.5) * height for y, _ in places],
            [times.ratio(name, "raw") - 1 for _, times in places],
            left=1, height=height, color=_COLOURS[name], label=name,
        )  # fmt: skip
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set(xscale="log", title=database, yticks=range(len(works)), yticklabels=list(works))
    axis.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axis.minorticks_off()
    axis.invert_yaxis()
    axis.grid(axis="x", alpha=0.3)
    axis.legend(fontsize="small", loc="lower right")
