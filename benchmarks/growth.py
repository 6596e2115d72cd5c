"""``python -m benchmarks.growth``: calls on tables of 10^4 and more rows, as a ratio to the smallest table."""

import argparse
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from axon_storage import EventRow, open_storage
from axon_storage.sql.tables import metadata
from benchmarks import loop, report, rows
from benchmarks.contenders import CONNECTIONS, Contender
from benchmarks.contenders.axon import Axon
from benchmarks.databases import DATABASES, Server, UnavailableError, address, connected, served, settle
from benchmarks.results import Growth
from benchmarks.timing import interleaved
from benchmarks.workloads import Workload, fresh

SIZES = (10**4, 10**5, 10**6)
QUICK_SIZES = (10**3, 10**4)
_MOST_TRACES = 10**6
"""The most traces, which are ten times as large as events: a larger size has only more events."""

_CALLS = 100
_PAGE = 1000
_EPOCH_MS = 1_577_836_800_000  # 2020: the copies are older than their originals and than later rows


class Growing(Axon):
    """axon_storage, with lists of events."""

    async def query_events(self, topic: str | None, limit: int) -> list[EventRow]:
        """Return the newest events, of one topic or all."""
        return await self._own.query_events(topic, limit)

    async def delete_one(self, trace_id: int) -> None:
        """Delete one trace."""
        await self._own.delete_traces([trace_id])


def _workloads(smallest: int) -> tuple[list[Workload], list[Workload]]:
    """Return the workloads on traces and those on events. The rows that they read exist in every size."""
    of_topic = min(100, smallest // rows.TOPICS)  # as many as the smallest table has
    ids = [number * 7919 % smallest for number in range(_CALLS)]
    traces = [
        Workload("save_trace", "save_trace", 1, 1, fresh(rows.trace, _CALLS)),
        Workload("get_trace", "get_trace", 1, 1, lambda _: [(rows.TENANT, number) for number in ids]),
        Workload(f"load_traces({_PAGE}), newest first", "load_traces", 1, _PAGE, lambda _: [(rows.TENANT, _PAGE)] * 5),
        Workload(
            "delete_traces of one", "delete_one", 1, 1, lambda n: [(number,) for number in range(n * 10, n * 10 + 10)]
        ),
    ]
    events = [
        Workload("append_event", "append_event", 1, 1, fresh(rows.event, _CALLS)),
        Workload(f"query_events({_PAGE}), newest first", "query_events", 1, _PAGE, lambda _: [(None, _PAGE)] * 5),
        Workload(
            f"query_events({of_topic}) of a topic", "query_events", 1, of_topic, lambda _: [("topic-7", of_topic)] * 20
        ),
    ]
    return traces, events


def measure(name: str, sizes: Sequence[int], rounds: int, limit: float = 1.0) -> Growth:
    """Time the calls on one database at each size, interleaved."""
    with served(name) as server:
        return loop.run(_measure(server, sorted(sizes), rounds, limit))


async def _measure(server: Server, sizes: list[int], rounds: int, limit: float) -> Growth:
    growth = Growth(tuple(sizes))
    async with AsyncExitStack() as stack:
        opened: dict[str, Contender] = {}
        for size in sizes:
            url = await server.database()
            start = time.monotonic()
            await _fill(url, size, seed=sizes[0])
            print(f"{server.name}: {size:,} rows after {time.monotonic() - start:.0f} s", flush=True)
            storage = open_storage(address(url), pool_size=CONNECTIONS, max_overflow=0)
            opened[f"{size:,}"] = Growing(await stack.enter_async_context(storage))
        loop.freeze()
        with_traces = {f"{size:,}": opened[f"{size:,}"] for size in sizes if size <= _MOST_TRACES}
        traces, events = _workloads(sizes[0])
        for workloads, contenders in ((traces, with_traces), (events, opened)):
            for workload in workloads:
                growth.calls[workload.name] = times = await interleaved(workload, contenders, rounds, limit, _nothing)
                print(server.name, report.growth_line(workload.name, times), flush=True)
    return growth


async def _nothing(_name: str) -> None:
    pass


async def _fill(url: URL, size: int, seed: int) -> None:
    """Store ``seed`` rows through this package, and let the database copy them."""
    async with open_storage(address(url)) as storage:
        tenant = storage.for_tenant(rows.TENANT)
        await tenant.save_many([rows.trace(number) for number in range(seed)])
        await tenant.save_many([rows.event(number) for number in range(seed)])
    async with connected(url) as connection:
        for table in ("traces", "event_history"):
            await connection.execute(text(f"CREATE TABLE seed_{table} AS SELECT * FROM {table}"))
    for first in range(seed, size, seed):
        async with connected(url) as connection:
            if first < _MOST_TRACES:
                await _copy(connection, "traces", "created_id", {"trace_id": "trace_id + :first"}, first)
            await _copy(connection, "event_history", "id", {}, first)
    await settle(url)


async def _copy(connection: AsyncConnection, table: str, id_: str, changed: dict[str, str], first: int) -> None:
    """Insert a copy of the seed rows, numbered from ``first``, with later ids."""
    names = metadata.tables[table].columns.keys()
    order = f"ROW_NUMBER() OVER (ORDER BY {id_})"
    changed = changed | {id_: _IDS[connection.dialect.name].format(number=f"{_EPOCH_MS + first} + {order}")}
    values = ", ".join(changed.get(name, name) for name in names)
    statement = f"INSERT INTO {table} ({', '.join(names)}) SELECT {values} FROM seed_{table}"
    parameters: dict[str, Any] = {"first": first} if ":first" in statement else {}
    await connection.execute(text(statement), parameters)


_V7 = "70008000000000000000"  # the digits after the milliseconds of a UUIDv7, with random bits of zero
_IDS = {
    "postgresql": f"CAST(lpad(to_hex({{number}}), 12, '0') || '{_V7}' AS uuid)",
    "sqlite": f"printf('%012x', {{number}}) || '{_V7}'",
    "mysql": f"CONCAT(LPAD(LOWER(HEX({{number}})), 12, '0'), '{_V7}')",
}
_IDS["mariadb"] = _IDS["mysql"]


def main() -> None:
    """Read the command line, measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name in options.databases:
        try:
            print("\n".join(report.growth_table(measure(name, options.sizes, options.rounds))))
        except UnavailableError as missing:
            print(f"{name}: {missing}")


if __name__ == "__main__":
    main()
