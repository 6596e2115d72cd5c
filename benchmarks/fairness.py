"""``python -m benchmarks.fairness``: the time of one tenant's lone appends, alone and beside a tenant that floods.

The flood is many tasks that append events, or some that save lists of 1,000. With ``--before REVISION`` the package of
another revision of this repository makes the same calls, in turns with this one.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

from axon_storage import StorageBackend, open_storage
from benchmarks import loop, rows
from benchmarks.databases import DATABASES, UnavailableError, address, served
from benchmarks.telemetry import package_of

_ROOT = Path(__file__).parents[1]
_WORKER = "worker"
_LISTS = 16
_PAUSE = 0.005
"""Seconds between two lone calls."""

Calls = Callable[[], Coroutine[Any, Any, object]]


def measure(url: str, package: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Let a process with a package make the calls; return the ms of each lone call, in order, by what runs beside."""
    done = subprocess.run(  # noqa: S603  # ours
        [sys.executable, "-m", "benchmarks.fairness", _WORKER],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(package), str(_ROOT)])},
        cwd=package,
        input=json.dumps([url, options.tasks, options.calls]),  # not an argument, because the URL has a password
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


# The worker process.


async def _work(url: str, tasks: int, calls: int) -> dict[str, list[float]]:
    async with open_storage(url, migrate=False) as storage:
        lone, flood, numbers = storage.for_tenant(rows.TENANT), storage.for_tenant(rows.KEPT), count()

        def append() -> Coroutine[Any, Any, object]:
            return flood.append_event(rows.event(next(numbers), rows.KEPT))

        def save_list() -> Coroutine[Any, Any, object]:
            return flood.save_many([rows.event(next(numbers), rows.KEPT) for _ in range(1000)])

        await lone.append_event(rows.event(0))
        return {
            "alone": await _beside(lone, 0, append, calls),
            f"beside {tasks:,} tasks that append": await _beside(lone, tasks, append, calls),
            f"beside {_LISTS} tasks that save lists": await _beside(lone, _LISTS, save_list, calls),
        }


async def _beside(lone: StorageBackend, tasks: int, call: Calls, calls: int) -> list[float]:
    ended = asyncio.Event()

    async def call_repeatedly() -> None:
        while not ended.is_set():
            await call()

    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(call_repeatedly())
        await asyncio.sleep(0.5 if tasks else 0)
        times = []
        for number in range(calls):
            start = time.perf_counter()
            await lone.append_event(rows.event(number))
            times.append(1e3 * (time.perf_counter() - start))
            await asyncio.sleep(_PAUSE)
        ended.set()
    return sorted(times)


def main() -> None:
    """Read the command line, measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--before", metavar="REVISION", help="compare with the package of this revision")
    parser.add_argument("--tasks", type=int, default=4_000, help="that append")
    parser.add_argument("--calls", type=int, default=100, help="lone calls of each kind in a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as stack:
        packages = {"now": stack.enter_context(package_of(None))}
        if options.before is not None:
            packages["before"] = stack.enter_context(package_of(options.before))
        for name in options.databases:
            try:
                with served(name) as server:
                    _compare(name, lambda: address(loop.run(server.database())), packages, options)
            except UnavailableError as missing:
                print(f"{name}: {missing}")


def _compare(name: str, new_url: Callable[[], str], packages: dict[str, Path], options: argparse.Namespace) -> None:
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for which, package in packages.items():
            for beside, found in measure(new_url(), package, options).items():
                times.setdefault((which, beside), []).extend(found)
    for (which, beside), found in times.items():
        ordered = sorted(found)
        median, late = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
        print(f"{name}, {which}, {beside}: p50 {median:.1f} ms, p99 {late:.1f}, longest {ordered[-1]:.1f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == [_WORKER]:
        print(json.dumps(loop.run(_work(*json.load(sys.stdin)))))
    else:
        main()
