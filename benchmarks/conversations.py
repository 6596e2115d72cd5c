"""``python -m benchmarks.conversations``: AxonSession, as a ratio to the SQLAlchemySession of openai-agents."""

import argparse
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from agents import Session
from agents.extensions.memory.sqlalchemy_session import SQLAlchemySession
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from axon_storage import open_storage
from axon_storage.integrations.openai_agents import AxonSession
from benchmarks import loop, report
from benchmarks.contenders import CONNECTIONS, Contender
from benchmarks.databases import Server, UnavailableError, address, served
from benchmarks.timing import interleaved
from benchmarks.workloads import Arguments, Workload

# On MySQL and MariaDB SQLAlchemySession cannot create its tables, because its keys have no length.
_DRIVERS = {"postgresql": "asyncpg", "sqlite": "aiosqlite"}
_TASKS = (1, 32)
_SESSIONS = 64  # more than tasks, because calls in one session wait for each other
_ITEMS = 500
_CLEARED = 20
_FEWEST_ROUNDS = 5


class Conversations(Contender):
    """One call of a session at a time, by the session's number. ``make`` returns the session with an id."""

    def __init__(self, make: Callable[[str], Session]) -> None:
        self._long = [make(f"long {number}") for number in range(_SESSIONS)]
        self._new = [make(f"new {number}") for number in range(_SESSIONS)]
        self._short = [make(f"short {number}") for number in range(_SESSIONS)]
        self._popped = [0] * _SESSIONS

    async def fill(self) -> None:
        """Add what the workloads have taken away."""
        for number, session in enumerate(self._short):
            await session.add_items(_items(_CLEARED - len(await session.get_items())))
            await self._long[number].add_items(_items(_ITEMS - len(await self._long[number].get_items())))

    async def add_items(self, number: int) -> None:
        """Add one item."""
        await self._new[number].add_items(_items(1))

    async def add_turn(self, number: int) -> None:
        """Add the items of a turn with a tool."""
        await self._new[number].add_items(_items(4))

    async def get_items(self, number: int) -> None:
        """Read the last ten items."""
        assert len(await self._long[number].get_items(10)) == 10

    async def pop_item(self, number: int) -> None:
        """Take the last item."""
        assert await self._long[number].pop_item() is not None

    async def clear_session(self, number: int) -> None:
        """Delete all items."""
        await self._short[number].clear_session()


def _items(count: int) -> list[Any]:
    text = "The capital of France is Paris, a city of two million people on the Seine. " * 3
    return [{"role": "user", "content": text} for _ in range(count)]


def _workloads() -> list[Workload]:
    def calls(count: int, sessions: int) -> Callable[[int], Sequence[Arguments]]:
        return lambda _: [(number % sessions,) for number in range(count)]

    names = {
        "add_items of 1": ("add_items", 2000),
        "add_items of 4": ("add_turn", 2000),
        f"get_items(10) of {_ITEMS}": ("get_items", 2000),
        "pop_item": ("pop_item", 10 * _SESSIONS),
        "pop_item of one session": ("pop_item", 300),
        f"clear_session of {_CLEARED}": ("clear_session", _SESSIONS),
    }
    return [
        Workload(
            f"{name}, {tasks} task{'s' * (tasks > 1)}",
            call,
            tasks,
            1,
            calls(count, 1 if "one session" in name else _SESSIONS),
            empties=call in {"pop_item", "clear_session"},
        )
        for name, (call, count) in names.items()
        for tasks in _TASKS
    ]


@asynccontextmanager
async def _axon(url: URL) -> AsyncIterator[Conversations]:
    async with open_storage(address(url), pool_size=CONNECTIONS) as storage:
        yield Conversations(lambda name: AxonSession(name, storage))


@asynccontextmanager
async def _sqlalchemy(url: URL) -> AsyncIterator[Conversations]:
    driver = url.set(drivername=f"{url.drivername}+{_DRIVERS[url.drivername]}")
    engine = create_async_engine(driver, pool_size=CONNECTIONS, max_overflow=0, pool_timeout=300)
    try:
        await SQLAlchemySession("first", engine=engine, create_tables=True).get_items()
        yield Conversations(lambda name: SQLAlchemySession(name, engine=engine))
    finally:
        await engine.dispose()


async def _compare(server: Server, chosen: Sequence[str], rounds: int, seconds: float) -> None:
    openers = {"SQLAlchemySession": _sqlalchemy, "AxonSession": _axon}
    async with AsyncExitStack() as stack:
        opened = {name: await stack.enter_async_context(op(await server.database())) for name, op in openers.items()}
        for each in opened.values():
            await each.fill()
        loop.freeze()
        for workload in _workloads():
            if chosen and not any(word in workload.name for word in chosen):
                continue

            async def after(name: str, workload: Workload = workload) -> None:
                if workload.empties:
                    await opened[name].fill()

            contenders: dict[str, Contender] = {**opened}
            times = await interleaved(workload, contenders, rounds, seconds, after)
            print(server.name, report.line(workload.name, times), flush=True)


def main() -> None:
    """Read the command line, and run the benchmark on each database."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversations", description=__doc__)
    parser.add_argument("--databases", nargs="+", choices=[*_DRIVERS], default=[*_DRIVERS])
    parser.add_argument("--workloads", nargs="+", help="only workloads whose name contains one of these")
    parser.add_argument("--rounds", type=int, default=_FEWEST_ROUNDS)
    parser.add_argument("--seconds", type=float, default=0.6, help="the longest time of a contender in a round")
    options = parser.parse_args()
    for name in options.databases:
        try:
            with served(name) as server:
                loop.run(_compare(server, options.workloads, options.rounds, options.seconds))
        except UnavailableError as missing:
            print(name, missing)


if __name__ == "__main__":
    main()
