"""The workloads: the method, the number of calls and tasks, and the rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import rows

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Scale:
    """The amounts of a run."""

    seconds: float
    """The longest time of a contender in a round; it ends earlier when all calls are made."""
    calls: dict[int, int]
    """The number of calls, by the number of tasks."""
    many: int
    """The number of rows of a ``save_many``."""
    kept: int
    """The number of traces that are stored in advance, to be listed, read and deleted."""
    page: int = 1000
    """The number of traces of a list."""


FULL = Scale(seconds=0.6, calls={1: 500, 16: 4000, 64: 8000, 256: 8000}, many=10_000, kept=100_000)
QUICK = Scale(seconds=0.1, calls={1: 50, 16: 400, 64: 1000, 256: 1000}, many=1000, kept=5000)


@dataclass(frozen=True)
class Workload:
    """A method of the contenders to time, with calls that are divided among tasks."""

    name: str
    call: str
    tasks: int
    rows: int
    """The number of rows of a call: speeds are rows per second."""
    arguments: Callable[[int], Sequence[Arguments]]
    """Returns the arguments of the calls in a round, by its number; they are the same for each contender."""
    empties: bool = False
    """Whether it deletes the kept traces, which are then stored again."""


def workloads(scale: Scale) -> list[Workload]:
    """Return all workloads, in the order in which they are run."""
    singles = [
        Workload(f"{call}, {tasks} task{'s' * (tasks > 1)}", call, tasks, 1, fresh(row, count))
        for call, row in (("append_event", rows.event), ("save_trace", rows.trace), ("save_session", rows.session))
        for tasks, count in scale.calls.items()
    ]
    kept = range(scale.kept)
    return [
        *singles,
        Workload("get_trace", "get_trace", 1, 1, _reads(scale, scale.calls[1])),
        Workload("get_trace, 32 tasks", "get_trace", 32, 1, _reads(scale, scale.calls[16])),
        Workload(f"load_traces({scale.page})", "load_traces", 1, scale.page, lambda _: [(rows.KEPT, scale.page)] * 10),
        Workload(f"save_many({scale.many:,})", "save_many", 1, scale.many, _many(scale.many)),
        Workload(f"restore {scale.kept:,} traces", "restore", 1, scale.kept, lambda _: [(rows.KEPT,)]),
        Workload(
            f"delete {scale.kept:,} traces", "delete_traces", 1, scale.kept, lambda _: [(rows.KEPT, list(kept))], True
        ),
    ]


def fresh(row: Callable[[int], Any], count: int) -> Callable[[int], Sequence[Arguments]]:
    """Return a function that makes new rows for each round."""
    fresh = _Numbers()
    return lambda _: [(row(number),) for number in fresh.take(count)]


def _reads(scale: Scale, count: int) -> Callable[[int], Sequence[Arguments]]:
    return lambda _: [(rows.KEPT, n * 7919 % scale.kept) for n in range(count)]


def _many(count: int) -> Callable[[int], Sequence[Arguments]]:
    fresh = _Numbers()
    return lambda _: [([rows.trace(number) for number in fresh.take(count)],)]


class _Numbers:
    """Gives each workload numbers that no other has."""

    _next = 1_000_000

    def take(self, count: int) -> range:
        first = _Numbers._next
        _Numbers._next += count
        return range(first, first + count)
