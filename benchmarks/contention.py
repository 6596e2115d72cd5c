"""``python -m benchmarks.contention``: processes that write the same few rows, with and without group commit.

Each process makes its calls 50 at a time: saves of 8 rows that all processes share, and now and then a transaction that
saves two of them in key order. Failures count as much as time: without contention no call takes nearly as long as its
time-out.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from axon_storage import SessionRow, StorageBackend, StorageError, open_storage
from benchmarks import loop, rows
from benchmarks.databases import DATABASES, Server, UnavailableError, address, served

MODES = ("on", "off")
"""The modes of group commit."""

_ROWS = 8
_CONCURRENT_CALLS = 50
_TRANSACTIONS = 0.07
"""The share of calls that are transactions."""
_TIMEOUT = 8.0
_WORKER = "worker"
_ROOT = Path(__file__).parents[1]


@dataclass
class Contention:
    """The seconds of each round, and the errors of all rounds, by mode of group commit."""

    calls: int
    """The number of calls of all processes in a round."""
    seconds: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in MODES})
    errors: dict[str, Counter[str]] = field(default_factory=lambda: {mode: Counter() for mode in MODES})

    @property
    def ratio(self) -> float:
        """The time with group commit relative to that without: the median of the ratios of the rounds."""
        return median(on / off for on, off in zip(self.seconds["on"], self.seconds["off"], strict=True))

    def lines(self, name: str) -> Iterator[str]:
        """Yield the results of one database."""
        for mode in MODES:
            times, errors = self.seconds[mode], self.errors[mode]
            yield (
                f"{name}, group commit {mode}: {median(times):.1f} s for {self.calls:,} calls, "
                f"{min(times):.1f} to {max(times):.1f} in {len(times)} rounds; failed {errors.total()} {dict(errors)}"
            )
        yield f"{name}: time with group commit on to off: {self.ratio:.2f}"


def measure(name: str, processes: int, calls: int, rounds: int) -> Contention:
    """Time both modes on one database, interleaved."""
    with served(name) as server:
        return loop.run(_measure(server, processes, calls, rounds))


async def _measure(server: Server, processes: int, calls: int, rounds: int) -> Contention:
    urls = {mode: address(await server.database()) for mode in MODES}
    found = Contention(processes * calls)
    for number in range(rounds):
        for mode in MODES if number % 2 else reversed(MODES):
            seconds, errors = await _round(urls[mode], processes, calls, mode)
            found.seconds[mode].append(seconds)
            found.errors[mode] += errors
            print(f"{server.name}, round {number + 1}, {mode}: {seconds:.1f} s, failed {errors.total()}", flush=True)
    return found


async def _round(url: str, processes: int, calls: int, mode: str) -> tuple[float, Counter[str]]:
    """Let each process make its calls; return the seconds until the last one has ended, and the errors."""
    workers = [await _started(url, number, calls, mode) for number in range(processes)]
    for worker in workers:
        assert worker.stdout is not None
        await worker.stdout.readline()  # wait until it has connected
    start = time.perf_counter()
    outputs = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
    errors: Counter[str] = Counter()
    for output, _ in outputs:
        errors.update(json.loads(output))
    return time.perf_counter() - start, errors


async def _started(url: str, number: int, calls: int, mode: str) -> Process:
    command = [sys.executable, "-m", "benchmarks.contention", _WORKER]
    worker = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, stdin=PIPE, stdout=PIPE)
    assert worker.stdin is not None
    worker.stdin.write(
        json.dumps([url, number, calls, mode]).encode() + b"\n"
    )  # not an argument, because the URL has a password
    return worker


# The worker process.


async def _make_calls(url: str, number: int, calls: int, mode: str) -> Counter[str]:
    dice, errors = random.Random(number), Counter[str]()  # noqa: S311  # repeatable
    async with open_storage(url, migrate=False, operation_timeout=_TIMEOUT, group_commit=mode == "on") as storage:
        tenant = storage.for_tenant(rows.TENANT)
        await tenant.load_sessions("shared")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for first in range(0, calls, _CONCURRENT_CALLS):
            values = [f"{number}.{call}" for call in range(first, min(first + _CONCURRENT_CALLS, calls))]
            errors.update(filter(None, await asyncio.gather(*(_call(tenant, dice, value) for value in values))))
    return errors


async def _call(storage: StorageBackend, dice: random.Random, value: str) -> str | None:
    """Make a call; return its error, or None."""
    try:
        if dice.random() < _TRANSACTIONS:
            await _save_two(storage, sorted(dice.sample(range(_ROWS), 2)), value)
        else:
            await storage.save_session(_row(dice.randrange(_ROWS), value))
    except StorageError as error:
        return f"{type(error).__name__}: {error.message[:45]}"
    return None


async def _save_two(storage: StorageBackend, keys: Sequence[int], value: str) -> None:
    async with storage.transaction() as transaction:
        for key in keys:
            await transaction.save_session(_row(key, value))


def _row(key: int, value: str) -> SessionRow:
    return SessionRow(tenant_id=rows.TENANT, scope="shared", key=str(key), value=value, source_step="contend")


def main() -> None:
    """Read the command line, measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contention", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--calls", type=int, default=2000, help="calls of each process in a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name in options.databases:
        try:
            found = measure(name, options.processes, options.calls, options.rounds)
            print("\n".join(found.lines(name)), flush=True)
        except UnavailableError as missing:
            print(f"{name}: {missing}")


if __name__ == "__main__":
    if sys.argv[1:] == [_WORKER]:
        print(json.dumps(loop.run(_make_calls(*json.loads(sys.stdin.readline())))))
    else:
        main()
