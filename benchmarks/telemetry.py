"""``python -m benchmarks.telemetry``: the cost of OpenTelemetry at ``append_event``, from 1 and from 64 tasks.

It compares three or more processes, which take turns on one database: this package without telemetry, the same with
spans and metrics of OpenTelemetry's SDK, whose exporters do nothing, and with ``--before REVISION`` the package of
another revision of this repository. The processes of each generation are new, because equal processes differ too.
"""

import argparse
import asyncio
import gc
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from axon_storage import StorageBackend, open_storage
from benchmarks import loop, rows
from benchmarks.databases import Server, UnavailableError, address, served

DATABASES = ("postgresql", "sqlite")
_WORKER = "worker"
_ROOT = Path(__file__).parents[1]
_TASKS = (1, 64)
_PLAIN, _BEFORE, _SPANS, _METRICS, _BOTH = "without telemetry", "before", "spans", "metrics", "spans and metrics"


class Turn(NamedTuple):
    """One turn of a process: µs per call, on the clock and of its processor time."""

    clock: float
    processor: float


class Worker:
    """A process that makes calls when it is asked to."""

    def __init__(self, mode: str, url: str, package: Path) -> None:
        path = os.pathsep.join([str(package), str(_ROOT)])
        self._process = subprocess.Popen(  # noqa: S603  # ours
            [sys.executable, "-m", "benchmarks.telemetry", _WORKER],
            env=os.environ | {"PYTHONPATH": path},
            cwd=package,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask(mode, url)  # not as arguments, because the URL has a password

    def turn(self, tasks: int, seconds: float) -> Turn:
        """Let the process call from some tasks for some time."""
        clock, processor = self._ask(str(tasks), str(seconds)).split()
        return Turn(float(clock), float(processor))

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, *words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(*words, file=self._process.stdin, flush=True)
        return self._process.stdout.readline()


class Comparison:
    """The turns of each mode at one number of tasks."""

    def __init__(self, modes: Sequence[str]) -> None:
        self.turns: dict[str, list[Turn]] = {mode: [] for mode in modes}

    def lines(self, name: str) -> Iterator[str]:
        """Yield a line for each comparison: ratios of the time of a call."""
        if _BEFORE in self.turns:
            yield self._line(name, _PLAIN, _BEFORE)
        yield from (self._line(name, mode, _PLAIN) for mode in self.turns if mode not in {_PLAIN, _BEFORE})

    def _line(self, name: str, mode: str, to: str) -> str:
        own, other = self.turns[mode], self.turns[to]
        pairs = [*zip(own, other, strict=True)]
        clock = _ratio([a.clock / b.clock for a, b in pairs])
        processor = _ratio([a.processor / b.processor for a, b in pairs])
        extra = median(a.processor - b.processor for a, b in pairs)
        base = Turn(median(turn.clock for turn in other), median(turn.processor for turn in other))
        return (
            f"{name}: {mode}, to {to}: clock {clock} of {base.clock:,.0f} µs a call, "
            f"processor {processor} of {base.processor:,.0f} µs, {extra:+.1f} µs"
        )


def _ratio(ratios: list[float]) -> str:
    """Return the median of ratios, with its 95 % confidence interval."""
    ordered, half = sorted(ratios), 0.98 * len(ratios) ** 0.5
    low, high = (ordered[min(max(round(len(ordered) / 2 + side * half), 0), len(ordered) - 1)] for side in (-1, 1))
    return f"{median(ordered):.3f} ({low:.3f} to {high:.3f})"


def measure(server: Server, packages: Mapping[str, Path], options: argparse.Namespace) -> Iterator[str]:
    """Let the processes take turns, and yield the lines of the results."""
    found = {tasks: Comparison([*packages]) for tasks in _TASKS}
    for _ in range(options.generations):
        url = address(loop.run(server.database()))
        with ExitStack() as stack:
            workers = {mode: Worker(mode, url, package) for mode, package in packages.items()}
            for worker in workers.values():
                stack.callback(worker.stop)
            for tasks, comparison in found.items():
                for worker in workers.values():  # to warm up
                    worker.turn(tasks, 2 * options.seconds)
                for number in range(options.rounds):
                    turn = number % len(workers)
                    order = [*workers][turn:] + [*workers][:turn]
                    for mode in order:
                        comparison.turns[mode].append(workers[mode].turn(tasks, options.seconds))
    for tasks, comparison in found.items():
        yield from comparison.lines(f"{server.name}, {tasks} task{'s' * (tasks > 1)}")


@contextmanager
def package_of(revision: str | None) -> Iterator[Path]:
    """Yield a folder with the package, and without what else a checkout has: of a revision, or of this checkout."""
    with tempfile.TemporaryDirectory(prefix="axon-bench-package-") as name:
        folder = Path(name)
        if revision is None:
            for part in ("axon_storage", "migrations"):
                (folder / part).symlink_to(_ROOT / part)
        else:
            command = ["git", "archive", revision, "axon_storage", "migrations"]
            archive = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603  # git
            with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                files.extractall(folder, filter="data")
        yield folder


# The worker process.


async def _work() -> None:
    mode, _, url = sys.stdin.readline().rstrip().rpartition(" ")
    async with open_storage(url, migrate=False, **_telemetry(mode)) as opened:
        storage, numbers = opened.for_tenant(rows.TENANT), count()
        await storage.append_event(rows.event(0))
        loop.freeze()
        print("ready", flush=True)
        for line in sys.stdin:
            tasks, seconds = line.split()
            clock, processor = await _turn(storage, numbers, int(tasks), float(seconds))
            print(clock, processor, flush=True)


async def _turn(storage: StorageBackend, numbers: "count[int]", tasks: int, seconds: float) -> Turn:
    """Append from some tasks for some time."""
    first = next(numbers)

    async def append_repeatedly() -> None:
        while time.perf_counter() < end:
            await storage.append_event(rows.event(next(numbers)))

    gc.collect()
    processor, start = time.process_time(), time.perf_counter()
    end = start + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(append_repeatedly())
    calls = next(numbers) - first - 1
    return Turn(
        1e6 * (time.perf_counter() - start) / calls,
        1e6 * (time.process_time() - processor) / calls,
    )


def _telemetry(mode: str) -> dict[str, Any]:
    """Return the options of a storage; the providers' exporters do nothing."""
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415  # only where it is used
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415  # as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # as above
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415  # as above
        BatchSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    class Nowhere(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            del spans
            return SpanExportResult.SUCCESS

    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(Nowhere()))
    meters = MeterProvider([InMemoryMetricReader()])  # aggregates, and is not read
    return {
        **({"tracer_provider": tracers} if mode in {_SPANS, _BOTH} else {}),
        **({"meter_provider": meters} if mode in {_METRICS, _BOTH} else {}),
    }


def main() -> None:
    """Read the command line, measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.telemetry", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--before", metavar="REVISION", help="compare with the package of this revision")
    parser.add_argument("--modes", nargs="+", choices=[_SPANS, _METRICS, _BOTH], default=[_SPANS, _METRICS, _BOTH])
    parser.add_argument("--generations", type=int, default=5, help="how often new processes are started")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each process")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    options = parser.parse_args()
    with ExitStack() as stack:
        own = stack.enter_context(package_of(None))
        packages = dict.fromkeys((_PLAIN, *options.modes), own)
        if options.before is not None:
            packages[_BEFORE] = stack.enter_context(package_of(options.before))
        for name in options.databases:
            try:
                with served(name) as server:
                    print("\n".join(measure(server, packages, options)), flush=True)
            except UnavailableError as missing:
                print(f"{name}: {missing}")


if __name__ == "__main__":
    if sys.argv[1:] == [_WORKER]:
        loop.run(_work())
    else:
        main()
