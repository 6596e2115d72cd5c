"""Reduce a walk that breaks a promise, as long as it still breaks it."""

import time
from dataclasses import dataclass, field

from tests.faults.walk.runs import Walk, run

StepIndex = tuple[int, int, int]
"""A step, given by its process, its task, and its position in the task."""


@dataclass
class Shrinker:
    """Leaves out smaller and smaller parts of a walk (delta debugging).

    A reduced walk is run up to ``repeats`` times, because the result of a run depends on timing. The search ends after
    ``most_runs`` runs, or ``seconds``.
    """

    url: str
    promises: set[str]
    repeats: int = 3
    most_runs: int = 120
    seconds: float = 90.0
    runs: int = 0
    _began: float = field(default_factory=time.monotonic)

    async def shrink(self, walk: Walk) -> Walk:
        """Return the smallest walk found that breaks one of the promises."""
        kept, parts = _steps(walk), 2
        while len(kept) > 1 and not self._is_over():
            smaller = await self._smaller(walk, kept, parts)
            if smaller is not None:
                kept, parts = smaller, max(parts - 1, 2)
            elif parts >= len(kept):
                break
            else:
                parts = min(2 * parts, len(kept))
        return _only(walk, kept)

    async def _smaller(self, walk: Walk, kept: list[StepIndex], parts: int) -> list[StepIndex] | None:
        """Leave out one of ``parts`` parts; return None if each of them is needed."""
        size = -(-len(kept) // parts)
        for first in range(0, len(kept), size):
            rest = kept[:first] + kept[first + size :]
            if rest and await self._breaks(_only(walk, rest)):
                return rest
        return None

    async def _breaks(self, walk: Walk) -> bool:
        for _ in range(self.repeats):
            if self._is_over():
                return False
            self.runs += 1
            if self.promises & (await run(walk, self.url)).promises:
                return True
        return False

    def _is_over(self) -> bool:
        return self.runs >= self.most_runs or time.monotonic() - self._began > self.seconds


def _steps(walk: Walk) -> list[StepIndex]:
    return [(process, task, at) for process, program in enumerate(walk) for task, at in program.steps()]


def _only(walk: Walk, kept: list[StepIndex]) -> Walk:
    return [
        program.only([(task, at) for of, task, at in kept if of == process]) for process, program in enumerate(walk)
    ]
