"""The works: what is called, how often, from how many tasks, and with which rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import rows

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Scale:
    """How much is done at most."""

    seconds: float
    """A contender's turn ends after so long, or when all calls are done."""
    calls: dict[int, int]
    """Calls for a number of tasks."""
    many: int
    """The rows of one ``save_many``."""
    kept: int
    """The traces that are there to list, restore and delete."""
    page: int = 1000
    """The traces of one list."""


FULL = Scale(seconds=0.6, calls={1: 500, 16: 4000, 64: 8000, 256: 8000}, many=10_000, kept=100_000)
QUICK = Scale(seconds=0.1, calls={1: 50, 16: 400, 64: 1000, 256: 1000}, many=1000, kept=5000)


@dataclass(frozen=True)
class Work:
    """One thing to time: a method of the contenders, its calls shared out among tasks."""

    name: str
    call: str
    tasks: int
    rows: int
    """The rows of one call: rates are told in rows a second."""
    arguments: Callable[[int], Sequence[Arguments]]
    """The calls of a round, from the round's number; each contender gets the same."""
    empties: bool = False
    """The kept traces must be put back after it."""


def works(scale: Scale) -> list[Work]:
    """All works, in the order in which they are done."""
    singles = [
        Work(f"{call}, {tasks} task{'s' * (tasks > 1)}", call, tasks, 1, fresh(row, count))
        for call, row in (("append_event", rows.event), ("save_trace", rows.trace), ("save_session", rows.session))
        for tasks, count in scale.calls.items()
    ]
    kept = range(scale.kept)
    return [
        *singles,
        Work(
            "get_trace",
            "get_trace",
            1,
            1,
            lambda _: [(rows.KEPT, n * 7919 % scale.kept) for n in range(scale.calls[1])],
        ),
        Work(f"load_traces({scale.page})", "load_traces", 1, scale.page, lambda _: [(rows.KEPT, scale.page)] * 10),
        Work(f"save_many({scale.many:,})", "save_many", 1, scale.many, _many(scale.many)),
        Work(f"restore {scale.kept:,} traces", "restore", 1, scale.kept, lambda _: [(rows.KEPT,)]),
        Work(
            f"delete {scale.kept:,} traces", "delete_traces", 1, scale.kept, lambda _: [(rows.KEPT, list(kept))], True
        ),
    ]


def fresh(row: Callable[[int], Any], count: int) -> Callable[[int], Sequence[Arguments]]:
    """Rows that no earlier round had."""
    fresh = _Numbers()
    return lambda _: [(row(number),) for number in fresh.take(count)]


def _many(count: int) -> Callable[[int], Sequence[Arguments]]:
    fresh = _Numbers()
    return lambda _: [([rows.trace(number) for number in fresh.take(count)],)]


class _Numbers:
    """Hands out numbers that no other work has."""

    _next = 1_000_000

    def take(self, count: int) -> range:
        first = _Numbers._next
        _Numbers._next += count
        return range(first, first + count)
