"""``python -m benchmarks.prune``: a table is pruned beside 16 writers, and their latencies with and without the prune.

The table has as many old events as ``--rows`` says. 16 tasks append events and save sessions, each as soon as its last
call has returned: first alone, then beside the prune, which runs in another process.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from axon_storage import StorageBackend, StorageError, open_storage
from benchmarks import loop, rows
from benchmarks.databases import DATABASES, Server, UnavailableError, address, served

_WRITERS = 16
_FILLED_AT_ONCE = 5_000
_WORKER = "worker"
_ROOT = Path(__file__).parents[1]
_DAYS = 30


@dataclass
class Latencies:
    """The seconds that the writers' calls took, and the errors."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    took: float = 0.0

    def line(self) -> str:
        """Return the number of calls per second, their latencies in milliseconds, and the number of errors."""
        ordered = sorted(self.seconds)
        p99, longest = (1000 * ordered[index] for index in (-1 - len(ordered) // 100, -1))
        rate = len(ordered) / self.took
        return f"{rate:,.0f} calls/s, p99 {p99:.1f} ms, longest {longest:.1f} ms, failed {len(self.errors)}"


async def _measure(server: Server, count: int, pause: float, alone: float) -> Iterator[str]:
    url = address(await server.database())
    await _fill(url, count)
    async with open_storage(url, migrate=False) as storage:
        without = await _write(storage, asyncio.create_task(asyncio.sleep(alone)))
        prune = asyncio.create_task(asyncio.to_thread(_prune, url, pause))
        beside = await _write(storage, prune)
        deleted, seconds = await prune
        left = len(await storage.for_tenant("default").query_events("old", 10))
    return iter(
        [
            f"{server.name}: pruned {deleted:,} of {count:,} rows, {deleted / seconds:,.0f} rows/s, {left} left",
            f"{server.name}, 16 writers alone: {without.line()}",
            f"{server.name}, 16 writers beside the prune: {beside.line()}",
        ]
    )


async def _fill(url: str, count: int) -> None:
    """Store old events."""
    past = time.time_ns() - int(timedelta(days=2 * _DAYS).total_seconds()) * 10**9
    ticks = iter(range(past, past + 2 * count * 1000, 1000))
    async with open_storage(url, migrate=False, clock=lambda: next(ticks)) as storage:
        for start in range(0, count, _FILLED_AT_ONCE):
            numbers = range(start, min(start + _FILLED_AT_ONCE, count))
            await storage.save_many([rows.event(number, "default") for number in numbers])


async def _write(storage: StorageBackend, until: asyncio.Task[object]) -> Latencies:
    """Write from all tasks until another task ends."""
    found, start = Latencies(), time.perf_counter()
    await asyncio.gather(*(_writer(storage, number, until, found) for number in range(_WRITERS)))
    found.took = time.perf_counter() - start
    return found


async def _writer(storage: StorageBackend, writer: int, until: asyncio.Task[object], found: Latencies) -> None:
    number = writer
    while not until.done():
        start = time.perf_counter()
        try:
            if number % 2:
                await storage.append_event(rows.event(number, "default"))
            else:
                await storage.save_session(rows.session(number, "default"))
        except StorageError as error:
            found.errors.append(str(error))
        found.seconds.append(time.perf_counter() - start)
        number += _WRITERS + 1


def _prune(url: str, pause: float) -> tuple[int, float]:
    """Prune in another process; return the number of deleted rows and the seconds that it took."""
    command = [sys.executable, "-m", "benchmarks.prune", _WORKER]
    done = subprocess.run(  # noqa: S603  # ours; the URL is not an argument, because it has a password
        command, cwd=_ROOT, input=f"{url} {pause}", capture_output=True, text=True, check=True
    )
    deleted, seconds = done.stdout.split()
    return int(deleted), float(seconds)


async def _worker(url: str, pause: float) -> None:
    async with open_storage(url, migrate=False) as storage:
        start = time.perf_counter()
        deleted = await storage.prune_events(datetime.now(UTC) - timedelta(days=_DAYS), pause=pause)
        print(deleted, time.perf_counter() - start)


def main() -> None:
    """Read the command line, measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prune", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--rows", type=int, default=1_000_000, help="old rows")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two transactions of the prune")
    parser.add_argument("--alone", type=float, default=20.0, help="seconds of the writers without the prune")
    options = parser.parse_args()
    for name in options.databases:
        try:
            with served(name) as server:
                lines = loop.run(_measure(server, options.rows, options.pause, options.alone))
            print("\n".join(lines), flush=True)
        except UnavailableError as missing:
            print(f"{name}: {missing}")


if __name__ == "__main__":
    if sys.argv[1:] == [_WORKER]:
        url, pause = sys.stdin.read().split()
        loop.run(_worker(url, float(pause)))
    else:
        main()
