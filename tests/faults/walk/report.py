"""Run walks one after the other, count calls and violations, and print the walks that break a promise."""

import json
import time
from collections import Counter

from tests.faults.walk.program import Program
from tests.faults.walk.runs import Outcome, Walk, run
from tests.faults.walk.shrinking import Shrinker

_SHOWN = 5
"""The number of violations of a run that are printed."""


class Report:
    """The results of all runs on one database."""

    def __init__(self, target: str, *, shrinks: bool = True) -> None:
        self._target, self._shrinks = target, shrinks
        self._runs = self._calls = self._reads = 0
        self._began = time.monotonic()
        self._ends: Counter[str] = Counter()
        self._broken: Counter[str] = Counter()
        self._kinds: dict[str, tuple[int, list[int]]] = {}
        """For each kind of walk, the number of runs and the seeds of those that broke promises."""
        self.failures: list[str] = []
        """The output of each run that broke a promise."""

    async def run(self, url: str, walk: Walk) -> None:
        """Run a walk; if it breaks a promise, print it and the smallest part of it that still does."""
        outcome = await run(walk, url)
        self._count(outcome, walk)
        if outcome.violations:
            report = "\n".join([f"seed {walk[0].seed}, {_options(walk)}:", *_lines(outcome)])
            print(report, flush=True)  # noqa: T201  # shown with -rP
            if self._shrinks:
                report += await self._smallest(url, walk, outcome)
            self.failures.append(report)

    def _count(self, outcome: Outcome, walk: Walk) -> None:
        self._runs += 1
        self._calls += outcome.calls
        self._reads += outcome.reads
        self._ends += outcome.ends
        self._broken.update(sorted(outcome.promises))
        kind = _kind(walk[0])
        runs, seeds = self._kinds.get(kind, (0, []))
        self._kinds[kind] = runs + 1, seeds + [walk[0].seed] * bool(outcome.violations)

    async def _smallest(self, url: str, walk: Walk, outcome: Outcome) -> str:
        """Find the smallest walk that still breaks one of the same promises; return it in the form of `--replay`."""
        shrinker = Shrinker(url, outcome.promises)
        smallest = await shrinker.shrink(walk)
        steps = sum(len(program.steps()) for program in smallest)
        data = json.dumps([json.loads(program.to_json()) for program in smallest])
        report = f"\nsmallest after {shrinker.runs} runs, {steps} steps, for --replay:\n{data}"
        print(report, flush=True)  # noqa: T201  # as above
        return report

    def summary(self) -> str:
        """Return a text with the number of runs, calls and reads, and how many runs broke each promise."""
        broken = ", ".join(f"{promise} in {count}" for promise, count in sorted(self._broken.items()))
        return "\n".join(
            [
                f"{self._target}: {self._runs} runs, {self._calls} calls, {self._reads} reads, {dict(self._ends)}, "
                f"{time.monotonic() - self._began:.0f} s; broken: {broken or 'nothing'}",
                *(
                    f"  {kind}: {len(seeds)} of {runs} runs broke promises, seeds {seeds}"
                    for kind, (runs, seeds) in sorted(self._kinds.items())
                ),
            ]
        )


def _kind(program: Program) -> str:
    transactions = sum(step.kind == "transaction" for task in program.tasks for step in task)
    return (
        f"group commit {'on' if program.group_commit else 'off'}, {'with' if transactions else 'without'} transactions"
    )


def _options(walk: Walk) -> str:
    return "; ".join(
        f"pool {program.pool_size}+{program.max_overflow}, {_kind(program)}"
        f"{' in key order' if program.sorted_transactions else ''}, {len(program.tasks)} tasks"
        for program in walk
    )


def _lines(outcome: Outcome) -> list[str]:
    # one of each promise first, since a call that hangs is reported by every call that waits for it
    firsts = list({violation.promise: violation for violation in reversed(outcome.violations)}.values())
    rest = [violation for violation in outcome.violations if violation not in firsts]
    lines = [f"  {violation.promise}: {violation.text}" for violation in [*firsts, *rest]]
    return [*lines[:_SHOWN], *([f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else [])]
