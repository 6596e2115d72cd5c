"""Timing: contenders take turns in each round, in an order that rotates, after one round to warm up."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.contenders import Contender
from benchmarks.workloads import Arguments, Workload


@dataclass
class Times:
    """The calls per second of each contender on a workload, in each round."""

    rows: int
    """The number of rows of one call."""
    calls: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, name: str, to: str) -> float:
        """Return the speed of a contender relative to another: the median of the ratios of the rounds."""
        return median(own / other for own, other in zip(self.calls[name], self.calls[to], strict=True))

    def rate(self, name: str) -> float:
        """Return the rows per second of the median round."""
        return self.rows * median(self.calls[name])


async def interleaved(
    workload: Workload,
    contenders: dict[str, Contender],
    rounds: int,
    limit: float,
    after: Callable[[str], Awaitable[None]],
) -> Times:
    """Time a workload on each contender in each round, for at most ``limit`` seconds, and await ``after`` each time."""
    names = [name for name, contender in contenders.items() if contender.offers(workload.call)]
    times = Times(workload.rows, {name: [] for name in names})
    for number in range(rounds + 1):
        arguments = workload.arguments(number)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            rate = await _calls_per_second(workload, contenders[name], arguments, limit)
            await after(name)
            if number > 0:  # the first round warms up
                times.calls[name].append(rate)
    return times


async def _calls_per_second(
    workload: Workload, contender: Contender, arguments: Sequence[Arguments], limit: float
) -> float:
    call, remaining, done = getattr(contender, workload.call), iter(arguments), 0

    async def call_repeatedly() -> None:
        nonlocal done
        for parameters in remaining:
            await call(*parameters)
            done += 1
            if time.perf_counter() > end:  # slow contenders make fewer of the calls
                break

    gc.collect()  # collect the garbage of the previous contender
    start = time.perf_counter()
    end = start + limit
    async with asyncio.TaskGroup() as group:
        for _ in range(workload.tasks):
            group.create_task(call_repeatedly())
    return done / (time.perf_counter() - start)
