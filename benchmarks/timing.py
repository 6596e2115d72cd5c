"""Timing: contenders take turns in each round, in an order that rotates, after one round to warm up."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.contenders import Contender
from benchmarks.works import Arguments, Work


@dataclass
class Times:
    """How many calls of a work each contender did in a second, round by round."""

    rows: int
    """The rows of one call."""
    calls: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, name: str, to: str) -> float:
        """How many times as fast as another: the median of the rounds' own ratios."""
        return median(own / other for own, other in zip(self.calls[name], self.calls[to], strict=True))

    def rate(self, name: str) -> float:
        """Rows a second, of the median round."""
        return self.rows * median(self.calls[name])


async def interleaved(
    work: Work, contenders: dict[str, Contender], rounds: int, limit: float, after: Callable[[str], Awaitable[None]]
) -> Times:
    """Time a work on each contender in each round, for at most ``limit`` seconds; ``after`` is awaited after each."""
    names = [name for name, contender in contenders.items() if contender.offers(work.call)]
    times = Times(work.rows, {name: [] for name in names})
    for number in range(rounds + 1):
        arguments = work.arguments(number)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            rate = await _calls_a_second(work, contenders[name], arguments, limit)
            await after(name)
            if number > 0:  # the first warms up
                times.calls[name].append(rate)
    return times


async def _calls_a_second(work: Work, contender: Contender, arguments: Sequence[Arguments], limit: float) -> float:
    call, remaining, done = getattr(contender, work.call), iter(arguments), 0

    async def one_after_another() -> None:
        nonlocal done
        for parameters in remaining:
            await call(*parameters)
            done += 1
            if time.perf_counter() > end:  # the slow do less of the same
                break

    gc.collect()  # what others left is not this one's
    start = time.perf_counter()
    end = start + limit
    async with asyncio.TaskGroup() as group:
        for _ in range(work.tasks):
            group.create_task(one_after_another())
    return done / (time.perf_counter() - start)
