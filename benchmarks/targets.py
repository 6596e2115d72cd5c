"""The targets on PostgreSQL, with the measured values."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.results import Results

SLOWEST = 1.5
"""The longest time of a call on a large table, relative to that on a small one."""

_MOST_MEBIBYTES = 64

_PEERS = ("core", "advanced-alchemy", "langgraph", "openai-agents")

# workload, contender, and the least speed relative to that contender
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
class Target:
    """A target, and the measured value."""

    what: str
    wanted: str
    found: str
    reached: bool


def targets(results: Results) -> Iterator[Target]:
    """Yield the targets that this run has measured."""
    workloads = results.times.get("postgresql", {})
    for start, other, wanted in _RATIOS:
        for workload, times in workloads.items():
            if workload.startswith(start) and {"axon", other} <= times.calls.keys():
                found = times.ratio("axon", other)
                yield Target(f"{workload}, to {other}", f"≥ {wanted}", f"{found:.2f}", found >= wanted)
    for peer in _PEERS:
        ratios = {
            workload: t.ratio("axon", peer) for workload, t in workloads.items() if {"axon", peer} <= t.calls.keys()
        }
        if ratios:
            least = min(ratios, key=lambda workload: ratios[workload])
            yield Target(
                f"all workloads, to {peer}", "> 1", f"{ratios[least]:.2f} at least ({least})", ratios[least] > 1
            )
    if results.memory is not None:
        above = results.memory.above
        what = f"memory for restoring {results.memory.rows:,} traces"
        yield Target(
            what, f"< {_MOST_MEBIBYTES} MiB", f"{above:.1f} MiB above the idle process", above < _MOST_MEBIBYTES
        )
    for database, growth in results.growth.items():
        smallest = f"{growth.sizes[0]:,}"
        slowdowns = [
            (t.ratio(smallest, size), f"{call}, {size} rows") for call, t in growth.calls.items() for size in t.calls
        ]
        if slowdowns:
            most, where = max(slowdowns)
            yield Target(f"growth on {database}", f"≤ {SLOWEST}", f"{most:.2f} at most ({where})", most <= SLOWEST)
