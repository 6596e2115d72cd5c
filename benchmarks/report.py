"""The report: what was to be reached, a table for each database, growth and memory."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks import plot
from benchmarks.contenders import CONNECTIONS, CONTENDERS
from benchmarks.reach import SLOWEST, reaches
from benchmarks.results import Growth, Results
from benchmarks.timing import Times

_INTRODUCTION = """# Benchmarks

Written by `make bench`, or by the command below. Every ratio is of speeds (rows a second) within this one run, to the
raw driver's on the same work: the same rows, the same effect in SQL, as durable. The contenders take turns in each
round, in an order that rotates; a ratio is the median of those of {rounds} rounds. Each contender has a database of
its own and at most {connections} connections, on one server with default durable settings. Before anything is timed,
all contenders are found to leave and read the same rows. The rate beside a ratio is that of the contender's median
round. A work "of n tasks" is n tasks that each make one call after another. The plot has the main works; the tables
have all of them.

![Ratios to the raw driver](benchmarks.svg)
"""


def write(results: Results, folder: Path) -> None:
    """Write the tables and the plot into a folder."""
    (folder / "benchmarks.md").write_text("\n".join(_lines(results)) + "\n")
    plot.draw(folder)


def line(name: str, times: Times) -> str:
    """One work's figures, for whoever watches the run."""
    first = next(iter(times.calls))
    ratios = ", ".join(f"{other} {times.ratio(other, first):.2f}" for other in times.calls if other != first)
    return f"{name}: {first} {times.rate(first):,.0f}/s; {ratios}"


def growth_line(name: str, times: Times) -> str:
    """One call's figures at each size, for whoever watches the run."""
    return f"{name}: " + ", ".join(f"{size} {ratio:.2f}" for size, ratio in _slowdowns(times).items())


def _lines(results: Results) -> Iterator[str]:
    yield _INTRODUCTION.format(rounds=results.rounds, connections=CONNECTIONS)
    yield from _table(["", "this run"], [[name, fact] for name, fact in _facts(results)])
    yield from ("", "## Contenders", "")
    yield from _table(
        ["name", "what it is"], [[_entry_name(entry.name, entry.databases), entry.what] for entry in CONTENDERS]
    )
    for name, reason in results.missing.items():
        yield f"\n**{name} took no part**: {reason}."
    yield from ("", "## Reach", "", "On PostgreSQL.", "")
    rows = [
        [reach.what, reach.wanted, reach.found, "reached" if reach.reached else "**not reached**"]
        for reach in reaches(results)
    ]
    yield from _table(["what", "wanted", "found", ""], rows)
    for database, works in results.times.items():
        yield from ("", f"## {database}", "")
        yield from _ratios(works)
    for database, growth in results.growth.items():
        yield from ("", f"## Growth on {database}", "")
        yield "How many times as long a call takes as on the smallest table; ! marks more than " + f"{SLOWEST}.\n"
        yield from growth_table(growth)


def _ratios(works: dict[str, Times]) -> Iterator[str]:
    names = list(dict.fromkeys(name for times in works.values() for name in times.calls))
    rows = []
    for work, times in works.items():
        first = next(iter(times.calls))
        cells = [f"{times.rate(first):,.0f}/s"]
        for name in names[1:]:
            found = name in times.calls
            cells.append(f"{times.ratio(name, first):.2f} ({times.rate(name):,.0f}/s)" if found else "")
        rows.append([work, *cells])
    yield from _table(["", *names], rows)


def growth_table(growth: Growth) -> Iterator[str]:
    """Each call's times at the larger sizes, as ratios to that at the smallest."""
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
