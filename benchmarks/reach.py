"""What is to be reached on PostgreSQL, beside what was found."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.results import Results

SLOWEST = 1.5
"""How many times as long a call may take on a large table as on a small one."""

_MOST_MEBIBYTES = 64

_PEERS = ("core", "advanced-alchemy", "langgraph", "openai-agents")

# work, contender to be faster than, and how many times
_RATIOS = (
    ("append_event, 64 tasks", "raw", 5.0),
    ("append_event, 64 tasks", "upstream", 8.0),
    ("append_event, 256 tasks", "raw", 6.5),
    ("save_trace, 64 tasks", "raw", 2.5),
    ("save_trace, 64 tasks", "upstream", 4.5),
    ("append_event, 1 task", "raw", 0.85),
    ("save_trace, 1 task", "raw", 0.85),
    ("save_session, 1 task", "raw", 0.85),
    ("get_trace", "raw", 0.85),
    ("load_traces", "raw", 0.7),
    ("save_many", "raw", 0.6),
)


@dataclass(frozen=True)
class Reach:
    """One thing to be reached."""

    what: str
    wanted: str
    found: str
    reached: bool


def reaches(results: Results) -> Iterator[Reach]:
    """All that this run can tell of."""
    works = results.times.get("postgresql", {})
    for start, other, wanted in _RATIOS:
        for work, times in works.items():
            if work.startswith(start) and {"axon", other} <= times.calls.keys():
                found = times.ratio("axon", other)
                yield Reach(f"{work}, to {other}", f"≥ {wanted}", f"{found:.2f}", found >= wanted)
    for peer in _PEERS:
        ratios = {work: t.ratio("axon", peer) for work, t in works.items() if {"axon", peer} <= t.calls.keys()}
        if ratios:
            least = min(ratios, key=lambda work: ratios[work])
            yield Reach(
                f"all works, to {peer}", "> 1", f"{ratios[least]:.2f} at the least ({least})", ratios[least] > 1
            )
    if results.memory is not None:
        above = results.memory.above
        what = f"memory for restoring {results.memory.rows:,} traces"
        yield Reach(
            what, f"< {_MOST_MEBIBYTES} MiB", f"{above:.1f} MiB above the idle process", above < _MOST_MEBIBYTES
        )
    for database, growth in results.growth.items():
        smallest = f"{growth.sizes[0]:,}"
        slowdowns = [
            (t.ratio(smallest, size), f"{call}, {size} rows") for call, t in growth.calls.items() for size in t.calls
        ]
        if slowdowns:
            most, where = max(slowdowns)
            yield Reach(f"growth on {database}", f"≤ {SLOWEST}", f"{most:.2f} at the most ({where})", most <= SLOWEST)
