"""``python -m benchmarks.citus CITUS POSTGRESQL``: a Citus cluster against a single PostgreSQL server.

64 tasks of 64 tenants append events or save traces, with group commit and without, through the coordinator and through
a worker. The databases take turns, and each turn on the cluster is compared with the turn on the single server beside
it. ``CITUS`` is the URL of the coordinator; the accounts of both URLs must be allowed to create databases.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from statistics import median
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.engine import make_url

from axon_storage import StorageBackend, open_storage, schema
from benchmarks import loop, rows
from benchmarks.databases import address, connected
from tests.servers import citus

_TASKS = 64

Save = Callable[[StorageBackend, int, str], Awaitable[object]]

SAVES: dict[str, Save] = {
    "appends": lambda storage, number, tenant: storage.append_event(rows.event(number, tenant)),
    "traces": lambda storage, number, tenant: storage.save_trace(rows.trace(number, tenant)),
}


async def measure(options: argparse.Namespace) -> None:
    """Create the databases, let them take turns, and print the results."""
    name = f"bench_{uuid4().hex[:12]}"
    single = make_url(options.postgresql)
    drops = await citus.create_database(options.citus, name)
    await _run(options.postgresql, f"CREATE DATABASE {name}")
    drops.append((options.postgresql, f"DROP DATABASE {name} WITH (FORCE)"))
    try:
        coordinator, plain = (address(make_url(url).set(database=name)) for url in (options.citus, options.postgresql))
        await schema.upgrade(coordinator)
        await schema.distribute(coordinator, shards=options.shards)
        await schema.upgrade(plain)
        [_, (host, port, _), *_] = await citus.nodes(coordinator)
        worker = address(make_url(coordinator).set(host=host, port=port))
        print(f"{options.shards} shards, {_TASKS} tasks, single server {single.host}:{single.port}")
        for grouped in (True, False):
            await _compare({"coordinator": coordinator, "worker": worker}, plain, options, grouped=grouped)
    finally:
        for url, statement in drops:
            await _run(url, statement)


async def _compare(nodes: dict[str, str], plain: str, options: argparse.Namespace, *, grouped: bool) -> None:
    async with AsyncExitStack() as stack:
        single, *others = [
            await stack.enter_async_context(open_storage(url, group_commit=grouped)) for url in (plain, *nodes.values())
        ]
        loop.freeze()
        for what, save in SAVES.items():
            for name, storage in zip(nodes, others, strict=True):
                found = await _ratios(storage, single, save, options)
                how = "group commit" if grouped else "single commits"
                print(f"{what}, {how}, through the {name}: {found}", flush=True)


async def _ratios(cluster: StorageBackend, single: StorageBackend, save: Save, options: argparse.Namespace) -> str:
    for storage in (cluster, single):  # to warm up
        await _turn(storage, save, options.seconds)
    pairs = list[tuple[float, float]]()
    for number in range(options.rounds):
        order = [cluster, single] if number % 2 else [single, cluster]
        found = {id(storage): await _turn(storage, save, options.seconds) for storage in order}
        pairs.append((found[id(cluster)], found[id(single)]))
    ratios = sorted(own / other for own, other in pairs)
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    own, other = median(own for own, _ in pairs), median(other for _, other in pairs)
    return f"{median(ratios):.2f} (quartiles {low:.2f} to {high:.2f}), {own:,.0f} against {other:,.0f} rows a second"


_numbers = count()


async def _turn(storage: StorageBackend, save: Save, seconds: float) -> float:
    """Save from all tasks, each with its own tenant, for some time, and return the rows per second."""
    done = 0

    async def save_repeatedly(tenant: str) -> None:
        nonlocal done
        view = storage.for_tenant(tenant)
        while time.perf_counter() < end:
            await save(view, next(_numbers), tenant)
            done += 1

    gc.collect()
    start = time.perf_counter()
    end = start + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(_TASKS):
            group.create_task(save_repeatedly(f"tenant-{number}"))
    return done / (time.perf_counter() - start)


async def _run(url: str, statement: str) -> None:
    async with connected(make_url(url), autocommit=True) as connection:
        await connection.execute(text(statement))


def main() -> None:
    """Read the command line, measure, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.citus", description=__doc__)
    parser.add_argument("citus", help="the URL of the coordinator")
    parser.add_argument("postgresql", help="the URL of the single server")
    parser.add_argument("--shards", type=int, default=citus.SHARDS)
    parser.add_argument("--rounds", type=int, default=20, help="turns of each database")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a turn")
    loop.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
