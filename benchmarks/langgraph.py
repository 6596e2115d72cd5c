"""``python -m benchmarks.langgraph``: AxonSaver and LangGraph's own savers, as ratios of calls per second in one run.

``own`` is one saver of LangGraph for all tasks, and ``own, one per task`` has one for each task, on a pool with as many
connections as this package may open. A saver of LangGraph runs one call at a time. LangGraph's saver for SQLite has one
connection.
"""

import argparse
import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import aiosqlite
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.engine import URL

from axon_storage import open_storage
from axon_storage.integrations.langgraph import AxonSaver
from benchmarks import loop
from benchmarks.contenders import CONNECTIONS
from benchmarks.databases import Server, UnavailableError, address, served

TASKS = 32
Savers = list[BaseCheckpointSaver[str]]
Call = Callable[[BaseCheckpointSaver[str], int, int], Awaitable[None]]
"""Makes one call: of a saver, the number of the task, and the number of the call."""


@dataclass(frozen=True)
class Workload:
    """Calls that are timed. ``tasks``: the number of tasks. ``calls``: of each. ``prepare``: fills what they need."""

    name: str
    tasks: int
    calls: int
    call: Call
    prepare: Call | None = None


def _config(task: int, call: int = 0, checkpoint_id: str | None = None) -> Any:
    found = {"thread_id": f"thread {task} {call}", "checkpoint_ns": ""}
    return {"configurable": found | ({"checkpoint_id": checkpoint_id} if checkpoint_id else {})}


_MESSAGE = {"type": "ai", "content": "The capital of France is Paris. " * 8, "id": "run-1", "tool_calls": []}


async def _put_one(saver: BaseCheckpointSaver[str], config: Any, step: int) -> Any:
    """Store a checkpoint of an agent with four messages: two of its three channels have new values."""
    checkpoint = empty_checkpoint()
    version, earlier = f"{step:032}.1", f"{1:032}.1"
    values = {"messages": [_MESSAGE] * 4, "documents": [{"title": "Paris"}], "next": {"node": "agent"}}
    checkpoint["channel_values"] = values
    checkpoint["channel_versions"] = {"messages": version, "documents": earlier, "next": version, "__start__": earlier}
    checkpoint["versions_seen"] = {"agent": {"messages": earlier}, "__input__": {}}
    new: dict[str, str | int | float] = {"messages": version, "next": version}
    if step == 1:
        new["documents"] = version
    return await saver.aput(config, checkpoint, {"source": "loop", "step": step, "parents": {}}, new)


async def _write(saver: BaseCheckpointSaver[str], config: Any) -> None:
    task_id = f"{random.getrandbits(128):032x}"  # no secret
    task_id = f"{task_id[:8]}-{task_id[8:12]}-{task_id[12:16]}-{task_id[16:20]}-{task_id[20:]}"
    await saver.aput_writes(config, [("messages", _MESSAGE), ("branch:to:tools", None)], task_id, "~path")


async def _put(saver: BaseCheckpointSaver[str], task: int, call: int) -> None:
    await _put_one(saver, _config(task), call + 1)


async def _put_writes(saver: BaseCheckpointSaver[str], task: int, _call: int) -> None:
    await _write(saver, _config(task, checkpoint_id="00000000-0000-0000-0000-000000000001"))


async def _fill(saver: BaseCheckpointSaver[str], task: int, call: int) -> None:
    """Store a thread of 20 checkpoints; a task has written for each."""
    await _fill_thread(saver, _config(task, call), 20)


async def _fill_long(saver: BaseCheckpointSaver[str], task: int, call: int) -> None:
    await _fill_thread(saver, _config(task, call), 100)


async def _fill_thread(saver: BaseCheckpointSaver[str], config: Any, count: int) -> None:
    for step in range(count):
        config = await _put_one(saver, config, step + 1)
        await _write(saver, config)


async def _get_latest(saver: BaseCheckpointSaver[str], task: int, _call: int) -> None:
    found = await saver.aget_tuple(_config(task))
    assert found is not None
    assert len(found.checkpoint["channel_values"]) == 3
    assert len(found.pending_writes or []) == 2


async def _list_ten(saver: BaseCheckpointSaver[str], task: int, _call: int) -> None:
    assert len([found async for found in saver.alist(_config(task), limit=10)]) == 10


async def _delete(saver: BaseCheckpointSaver[str], task: int, call: int) -> None:
    await saver.adelete_thread(_config(task, call)["configurable"]["thread_id"])


def _workloads(scale: int) -> list[Workload]:
    """Return the workloads. ``scale``: a factor of the number of calls."""
    found = list[Workload]()
    for tasks in (1, TASKS):
        alone = tasks == 1
        found += [
            Workload(f"put, {tasks}", tasks, (60 if alone else 10) * scale, _put),
            Workload(f"put_writes, {tasks}", tasks, (60 if alone else 10) * scale, _put_writes),
            Workload(f"get_tuple of the latest, {tasks}", tasks, (60 if alone else 10) * scale, _get_latest, _fill),
            Workload(f"list(limit=10), {tasks}", tasks, (20 if alone else 3) * scale, _list_ten, _fill),
            Workload(f"delete_thread of 100, {tasks}", tasks, 4 if alone else 1, _delete, _fill_long),
        ]
    return found


@asynccontextmanager
async def _axon(url: URL) -> AsyncIterator[Savers]:
    async with open_storage(address(url), pool_size=CONNECTIONS, max_overflow=0) as storage:
        yield [AxonSaver(storage)] * TASKS


@asynccontextmanager
async def _postgresql(url: URL, *, shared: bool) -> AsyncIterator[Savers]:
    options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: Any = AsyncConnectionPool(
        address(url), min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs=options, open=False
    )
    async with pool:
        savers: Savers = [AsyncPostgresSaver(pool) for _ in range(TASKS)]
        await savers[0].setup()  # type: ignore[attr-defined, unused-ignore]
        yield [savers[0]] * TASKS if shared else savers


@asynccontextmanager
async def _sqlite(url: URL) -> AsyncIterator[Savers]:
    async with aiosqlite.connect(str(url.database)) as connection:
        saver = AsyncSqliteSaver(connection)
        await saver.setup()
        yield [saver] * TASKS


@dataclass
class _Rates:
    """The calls per second of each contender in each round."""

    calls: dict[str, list[float]] = field(default_factory=dict)

    def line(self, workload: str) -> str:
        """Return the ratios of AxonSaver to the others."""
        rates = {name: median(found) for name, found in self.calls.items()}
        others = {name: found for name, found in self.calls.items() if name != "axon"}
        ratios = [f"{self._ratio(name):.2f} of {name} ({rates[name]:,.0f}/s)" for name in others]
        return f"{workload}: axon {rates['axon']:,.0f}/s, {', '.join(ratios)}"

    def _ratio(self, name: str) -> float:
        return median(own / other for own, other in zip(self.calls["axon"], self.calls[name], strict=True))


async def _measure(server: Server, rounds: int, scale: int, wanted: str) -> None:
    async with AsyncExitStack() as stack:
        openers = {"axon": _axon(await server.database())}
        if server.name == "sqlite":
            openers["own"] = _sqlite(URL.create("sqlite", database=f"{(await server.database()).database}-own"))
        elif server.name == "postgresql":
            openers["own"] = _postgresql(await server.database(), shared=True)
            openers["own, one per task"] = _postgresql(await server.database(), shared=False)
        savers = {name: await stack.enter_async_context(opener) for name, opener in openers.items()}
        loop.freeze()
        for workload in _workloads(scale):
            if wanted in workload.name:
                print(server.name, (await _rates(workload, savers, rounds)).line(workload.name), flush=True)


async def _rates(workload: Workload, savers: dict[str, Savers], rounds: int) -> _Rates:
    found, names = _Rates({name: [] for name in savers}), list(savers)
    for number in range(rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            rate = await _time(workload, savers[name])
            if number > 0:  # the first round warms up
                found.calls[name].append(rate)
    return found


async def _time(workload: Workload, savers: Savers) -> float:
    """Return the calls per second of all tasks."""
    numbers = range(workload.calls)
    for task in range(workload.tasks):
        await savers[task].adelete_thread(f"thread {task} 0")
        if workload.prepare is not None:
            for call in numbers if workload.call is _delete else (0,):
                await workload.prepare(savers[task], task, call)

    async def run(task: int) -> None:
        for call in numbers:
            await workload.call(savers[task], task, call)

    gc.collect()  # the garbage of the other contenders
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for task in range(workload.tasks):
            group.create_task(run(task))
    return workload.tasks * workload.calls / (time.perf_counter() - start)


def main() -> None:
    """Read the command line, measure, and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.langgraph", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=["postgresql", "sqlite"], default=["postgresql", "sqlite"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="fewer calls, 3 rounds")
    parser.add_argument("--workloads", default="", help="only those whose names contain this text")
    options = parser.parse_args()
    rounds, scale = (3, 1) if options.quick else (options.rounds, 5)
    for name in options.databases:
        try:
            with served(name) as server:
                loop.run(_measure(server, rounds, scale, options.workloads))
        except UnavailableError as missing:
            print(f"{name}: {missing}")


if __name__ == "__main__":
    main()
