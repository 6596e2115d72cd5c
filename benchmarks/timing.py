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
    """The seconds that each contender took for a work, round by round."""

    calls: int = 0
    rows: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def ratio(self, name: str, to: str) -> float:
        """How many times as fast as another: the median of the rounds' own ratios."""
        pairs = zip(self.seconds[name], self.seconds[to], strict=True)
        return median(other / own for own, other in pairs)

    def rate(self, name: str) -> float:
        """Rows a second, of the median round."""
        return self.rows / median(self.seconds[name])


async def interleaved(
    work: Work, contenders: dict[str, Contender], rounds: int, after: Callable[[str], Awaitable[None]]
) -> Times:
    """Time a work on each contender in each round; ``after`` is awaited, untimed, after each."""
    names = [name for name, contender in contenders.items() if contender.offers(work.call)]
    times = Times(seconds={name: [] for name in names})
    for number in range(rounds + 1):
        arguments = work.arguments(number)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            seconds = await _seconds(work, contenders[name], arguments)
            await after(name)
            if number > 0:  # the first warms up
                times.seconds[name].append(seconds)
        times.calls, times.rows = len(arguments), len(arguments) * work.rows
    return times


async def _seconds(work: Work, contender: Contender, arguments: Sequence[Arguments]) -> float:
    call = getattr(contender, work.call)

    async def one_after_another(own: Sequence[Arguments]) -> None:
        for parameters in own:
            await call(*parameters)

    gc.collect()  # what others left is not this one's
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for task in range(work.tasks):
            group.create_task(one_after_another(arguments[task :: work.tasks]))
    return time.perf_counter() - start
