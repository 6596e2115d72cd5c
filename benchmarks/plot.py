"""The plot: the speed of the main workloads as a ratio to the raw driver's, one panel for each database.

It is drawn from the tables of the report, so ``python -m benchmarks.plot FOLDER`` can draw it again without a new run.
"""

import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Patch

Ratios = dict[str, dict[str, float]]
"""The ratios by workload and contender."""

_COLOURS = {
    "axon": "#0b6e4f",
    "core": "#c8553d",
    "advanced-alchemy": "#e0a458",
    "langgraph": "#5f7fbf",
    "openai-agents": "#9b72b0",
}
_LABELS = {"axon": "axon_storage", "core": "SQLAlchemy Core"}
_WORKLOADS = (
    "append_event, 1 task",
    "append_event, 64 tasks",
    "append_event, 256 tasks",
    "save_trace, 1 task",
    "save_trace, 64 tasks",
    "get_trace",
    "load_traces(1000)",
    "save_many(10,000)",
)
"""The workloads of the plot. More would be too small to read; the tables of the report have all."""
_TITLES = {"postgresql": "PostgreSQL", "mariadb": "MariaDB", "mysql": "MySQL", "sqlite": "SQLite"}
_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_COLUMNS = 2


def draw(folder: Path) -> None:
    """Draw ``benchmarks.svg`` from the tables of ``benchmarks.md`` in the same folder."""
    panels = read(folder / "benchmarks.md")
    if not panels:
        return
    mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 11})
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(9.2, 4.1 * rows + 0.7), layout="constrained")
    axes = figure.subplots(rows, min(_COLUMNS, len(panels)), squeeze=False, sharey=True, sharex=True)
    for axis, (database, ratios) in zip(axes.flat, panels.items(), strict=False):
        _draw_panel(axis, database, ratios)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.suptitle("Speed relative to the raw driver, which is 1 (right of the line is faster)", fontsize=12)
    patches = [Patch(color=colour, label=_LABELS.get(name, name)) for name, colour in _COLOURS.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(folder / "benchmarks.svg", metadata={"Date": None}, facecolor="white")


def read(report: Path) -> dict[str, Ratios]:
    """Read the ratios of each database from a report."""
    panels: dict[str, Ratios] = {}
    for section in re.split(r"^## ", report.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        database, _, text = section.partition("\n")
        if database in _TITLES:
            panels[database] = _table(text)
    return panels


def _table(text: str) -> Ratios:
    heads, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n") if "|" in line
    ]
    return {
        workload: {name: float(cell.split()[0]) for name, cell in zip(heads[2:], cells, strict=True) if cell}
        for workload, _raw, *cells in rows
    }


def _draw_panel(axis: Any, database: str, ratios: Ratios) -> None:
    workloads = [workload for workload in _WORKLOADS if workload in ratios]
    for y, workload in enumerate(workloads):
        names = [name for name in _COLOURS if name in ratios[workload]]
        height = 0.8 / max(2, len(names))
        for position, name in enumerate(names):
            place = y + (position - len(names) / 2 + 0.5) * height
            axis.barh(place, ratios[workload][name] - 1, left=1, height=height, color=_COLOURS[name])
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set(xscale="log", title=_TITLES[database], yticks=range(len(workloads)), yticklabels=workloads)
    axis.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axis.set_ylim(len(workloads) - 0.4, -0.6)
    axis.minorticks_off()
    axis.tick_params(axis="x", labelbottom=True)
    axis.grid(axis="x", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
