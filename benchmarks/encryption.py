"""``python -m benchmarks.encryption``: the cost of encrypting documents, as a ratio.

Two storages on one database take turns, one with a keyring: they save and get sessions with a value of 1 KiB and of
100 KiB, from 1 and from 64 tasks. The values are hexadecimal digits, which a database can compress to half.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import product
from random import Random
from statistics import median
from typing import NamedTuple

from axon_storage import SessionRow, StorageBackend, open_storage
from axon_storage.encryption import Keyring, MasterKey
from benchmarks import loop
from benchmarks.databases import Server, UnavailableError, address, served

DATABASES = ("sqlite", "postgresql")
_KIB = 2**10
_SIZES, _TASKS = (_KIB, 100 * _KIB), (1, 64)
_PLAIN, _ENCRYPTED = "plain", "encrypted"

Call = Callable[[StorageBackend, SessionRow], Awaitable[object]]


class Turn(NamedTuple):
    """One turn: µs per call, on the clock and of the processor time of this process."""

    clock: float
    processor: float


async def _save(storage: StorageBackend, row: SessionRow) -> object:
    await storage.save_session(row)
    return True


async def _get(storage: StorageBackend, row: SessionRow) -> object:
    return await storage.get_session(row.scope, row.key)


_CALLS: dict[str, Call] = {"save": _save, "get": _get}


async def measure(server: Server, options: argparse.Namespace) -> None:
    """Let the storages take turns, and print a line for each comparison."""
    url = address(await server.database())
    async with AsyncExitStack() as stack:
        storages = {
            _PLAIN: await stack.enter_async_context(open_storage(url)),
            _ENCRYPTED: await stack.enter_async_context(
                open_storage(url, encryption=Keyring({"bench": MasterKey.generate()}))
            ),
        }
        views = {mode: storage.for_tenant(mode) for mode, storage in storages.items()}
        for size, tasks, name in product(_SIZES, _TASKS, _CALLS):
            turns: dict[str, list[Turn]] = {_PLAIN: [], _ENCRYPTED: []}
            for number in range(options.rounds + 1):
                for mode in sorted(views, reverse=bool(number % 2)):
                    turns[mode].append(await _turn(views[mode], _CALLS[name], size, tasks, options.seconds))
            print(_line(f"{server.name}, {name} {size // _KIB} KiB, {tasks} tasks", turns), flush=True)


async def _turn(storage: StorageBackend, call: Call, size: int, tasks: int, seconds: float) -> Turn:
    """Call from some tasks for some time, each on a row of its own."""
    drawn = Random(tasks).randbytes(size // 2).hex()  # noqa: S311  # not used for security
    made = [SessionRow(scope=f"{size}", key=f"{number}", value=drawn, source_step="s") for number in range(tasks)]
    await storage.save_many(made)
    calls = 0

    async def repeat(row: SessionRow) -> None:
        nonlocal calls
        while time.perf_counter() < end:
            await call(storage, row)
            calls += 1

    gc.collect()
    processor, start = time.process_time(), time.perf_counter()
    end = start + seconds
    async with asyncio.TaskGroup() as group:
        for row in made:
            group.create_task(repeat(row))
    clock, used = time.perf_counter() - start, time.process_time() - processor
    return Turn(1e6 * clock / calls, 1e6 * used / calls)


def _line(name: str, turns: dict[str, list[Turn]]) -> str:
    pairs = [*zip(turns[_ENCRYPTED], turns[_PLAIN], strict=True)][1:]  # the first turns warm up
    clock, processor = (median(_ratios(pairs, number)) for number in range(2))
    base = Turn(median(plain.clock for _, plain in pairs), median(plain.processor for _, plain in pairs))
    extra = median(encrypted.processor - plain.processor for encrypted, plain in pairs)
    return (
        f"{name}: clock {clock:.2f} of {base.clock:,.0f} µs a call, "
        f"processor {processor:.2f} of {base.processor:,.0f} µs, {extra:+,.0f} µs"
    )


def _ratios(pairs: list[tuple[Turn, Turn]], number: int) -> Iterator[float]:
    return (encrypted[number] / plain[number] for encrypted, plain in pairs)


def main() -> None:
    """Read the command line, measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encryption", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--rounds", type=int, default=15, help="turns of each storage")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a turn")
    options = parser.parse_args()
    for name in options.databases:
        try:
            with served(name) as server:
                loop.run(measure(server, options))
        except UnavailableError as missing:
            print(f"{name}: {missing}")


if __name__ == "__main__":
    main()
