"""The report: targets, a table for each database, growth and memory."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks import plot
from benchmarks.contenders import CONNECTIONS, CONTENDERS
from benchmarks.results import Growth, Results
from benchmarks.targets import SLOWEST, targets
from benchmarks.timing import Times

_INTRODUCTION = """# Benchmarks

Written by `make bench`, or by the command below. Each ratio is a speed (rows per second) relative to that of the raw
driver on the same workload: the same rows, the same effect in SQL, the same durability. The contenders take turns in
each round, in an order that rotates; a ratio is the median of the ratios of {rounds} rounds. Each contender has a
database of its own and at most {connections} connections, on one server with default durable settings. Before anything
is timed, a check compares the rows that the contenders store and read. The rate beside a ratio is that of the
contender's median round. In a workload "of n tasks", n tasks make one call after another. The plot has the main
workloads; the tables have all of them.

![Ratios to the raw driver](benchmarks.svg)
"""


def write(results: Results, folder: Path) -> None:
    """Write the tables and the plot into a folder."""
    (folder / "benchmarks.md").write_text("\n".join(_lines(results)) + "\n")
    plot.draw(folder)


def line(name: str, times: Times) -> str:
    """Format the results of a workload in one line, for the progress output."""
    first = next(iter(times.calls))
    ratios = ", ".join(f"{other} {times.ratio(other, first):.2f}" for other in times.calls if other != first)
    return f"{name}: {first} {times.rate(first):,.0f}/s; {ratios}"


def growth_line(name: str, times: Times) -> str:
    """Format the results of a call at each size in one line, for the progress output."""
    return f"{name}: " + ", ".join(f"{size} {ratio:.2f}" for size, ratio in _slowdowns(times).items())


def _lines(results: Results) -> Iterator[str]:
    yield _INTRODUCTION.format(rounds=results.rounds, connections=CONNECTIONS)
    yield from _table(["", "this run"], [[name, fact] for name, fact in _facts(results)])
    yield from ("", "## Contenders", "")
    yield from _table(
        ["name", "what it is"], [[_entry_name(entry.name, entry.databases), entry.what] for entry in CONTENDERS]
    )
    for name, reason in results.missing.items():
        yield f"\n**{name} was not measured**: {reason}."
    yield from ("", "## Targets", "", "On PostgreSQL.", "")
    rows = [
        [target.what, target.wanted, target.found, "reached" if target.reached else "**not reached**"]
        for target in targets(results)
    ]
    yield from _table(["what", "target", "measured", ""], rows)
    for database, workloads in results.times.items():
        yield from ("", f"## {database}", "")
        yield from _ratios(workloads)
    for database, growth in results.growth.items():
        yield from ("", f"## Growth on {database}", "")
        yield "The time of a call relative to that on the smallest table; ! marks more than " + f"{SLOWEST}.\n"
        yield from growth_table(growth)


def _ratios(workloads: dict[str, Times]) -> Iterator[str]:
    names = list(dict.fromkeys(name for times in workloads.values() for name in times.calls))
    rows = []
    for workload, times in workloads.items():
        first = next(iter(times.calls))
        cells = [f"{times.rate(first):,.0f}/s"]
        for name in names[1:]:
            found = name in times.calls
            cells.append(f"{times.ratio(name, first):.2f} ({times.rate(name):,.0f}/s)" if found else "")
        rows.append([workload, *cells])
    yield from _table(["", *names], rows)


def growth_table(growth: Growth) -> Iterator[str]:
    """Format a table of the times of each call at the larger sizes, relative to the smallest."""
    sizes = [f"{size:,}" for size in growth.sizes]
    rows = []
    for call, times in growth.calls.items():
        slowdowns = _slowdowns(times)
        milliseconds = 1000 * times.rows / times.rate(sizes[0])
        cells = [
            f"{slowdowns[size]:.2f}{' !' * (slowdowns[size] > SLOWEST)}" if size in slowdowns else ""
            for size in sizes[1:]
        ]
        rows.append([call, f"{milliseconds:.2f} ms", *cells])
    yield from _table(["a call", *(f"{size} rows" for size in sizes)], rows)


def _slowdowns(times: Times) -> dict[str, float]:
    smallest = next(iter(times.calls))
    return {size: times.ratio(smallest, size) for size in times.calls}


def _facts(results: Results) -> Iterable[tuple[str, str]]:
    yield from results.machine.items()
    yield "servers", ", ".join(f"{name} {version}" for name, version in results.versions.items())


def _entry_name(name: str, databases: Sequence[str]) -> str:
    return name if len(databases) > 1 and name != "raw" else f"{name}, {' and '.join(databases)}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
