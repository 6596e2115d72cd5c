"""``python -m benchmarks.row_security``: the cost of PostgreSQL's row-level security, from 1 and from 64 tasks.

Two storages of one process take turns, as one account: on a database that is secured, and on one that is not. Each
turn of one is compared with the turn of the other beside it.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import count
from statistics import median

from sqlalchemy import URL, text

from axon_storage import StorageBackend, open_storage, schema
from benchmarks import loop, rows
from benchmarks.databases import Server, UnavailableError, address, connected, served

_ACCOUNT, _SECRET = "bench_app", "bench-secret"  # of a private server
_TASKS = (1, 64)

Call = Callable[[StorageBackend, int], Awaitable[object]]

CALLS: dict[str, Call] = {
    "append_event": lambda storage, number: storage.append_event(rows.event(number)),
    "save_session": lambda storage, number: storage.save_session(rows.session(number)),
    "get_session": lambda storage, number: storage.get_session("chat-1", f"fact-{number % 4096 // 16 * 16 + 1}"),
    "query_events(100)": lambda storage, number: storage.query_events(f"topic-{number % rows.TOPICS}", 100),
}


async def measure(server: Server, options: argparse.Namespace) -> list[str]:
    """Let the storages take turns, and return the lines of the results."""
    async with AsyncExitStack() as stack:
        storages = [await _opened(server, stack, secured=secured) for secured in (True, False)]
        numbers, lines = count(), list[str]()
        for storage in storages:
            await storage.save_many([rows.session(number) for number in range(4096)])
            await storage.save_many([rows.event(number) for number in range(10_000)])
        loop.freeze()
        for name, call in CALLS.items():
            for tasks in _TASKS:
                lines.append(
                    f"{name}, {tasks} task{'s' * (tasks > 1)}: "
                    + await _compare(storages, call, tasks, numbers, options)
                )
    return lines


async def _compare(
    storages: list[StorageBackend], call: Call, tasks: int, numbers: Iterator[int], options: argparse.Namespace
) -> str:
    for storage in storages:  # to warm up
        await _turn(storage, call, tasks, numbers, 2 * options.seconds)
    pairs = list[tuple[float, float]]()
    for number in range(options.rounds):
        order = storages[:: 1 if number % 2 else -1]
        found = {id(storage): await _turn(storage, call, tasks, numbers, options.seconds) for storage in order}
        pairs.append((found[id(storages[0])], found[id(storages[1])]))
    ratios = sorted(secured / plain for secured, plain in pairs)
    low, high = ratios[len(ratios) // 4], ratios[-len(ratios) // 4]
    own, other = median(secured for secured, _ in pairs), median(plain for _, plain in pairs)
    return f"{median(ratios):.2f} (quartiles {low:.2f} to {high:.2f}), {own:,.0f} against {other:,.0f} µs a call"


async def _turn(storage: StorageBackend, call: Call, tasks: int, numbers: Iterator[int], seconds: float) -> float:
    """Call from some tasks for some time, and return the microseconds per call."""
    calls = 0

    async def call_repeatedly() -> None:
        nonlocal calls
        while time.perf_counter() < end:
            await call(storage, next(numbers))
            calls += 1

    gc.collect()
    start = time.perf_counter()
    end = start + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(call_repeatedly())
    return 1e6 * (time.perf_counter() - start) / calls


async def _opened(server: Server, stack: AsyncExitStack, *, secured: bool) -> StorageBackend:
    """Open a storage on a new database, as an account that row-level security binds."""
    url = await server.database()
    if secured:
        await schema.secure(address(url))
    async with connected(url) as connection:
        await connection.execute(text(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {_ACCOUNT}"))
    own = address(url.set(username=_ACCOUNT, password=_SECRET))
    return (await stack.enter_async_context(open_storage(own))).for_tenant(rows.TENANT)


async def _create_account(url: URL) -> None:
    async with connected(url) as connection:
        await connection.execute(text(f"CREATE ROLE {_ACCOUNT} LOGIN PASSWORD '{_SECRET}'"))


async def _run(server: Server, options: argparse.Namespace) -> list[str]:
    await _create_account(await server.database())
    return await measure(server, options)


def main() -> None:
    """Read the command line, measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.row_security", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="turns of each storage")
    parser.add_argument("--seconds", type=float, default=0.3, help="of a turn")
    options = parser.parse_args()
    try:
        with served("postgresql") as server:
            print("\n".join(loop.run(_run(server, options))))
    except UnavailableError as missing:
        print(missing)


if __name__ == "__main__":
    main()
