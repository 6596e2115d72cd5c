"""A call that is cancelled at any point leaks no connection, and leaves nothing half done."""

import asyncio
import gc
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from axon_storage import EventRow, Row, SessionRow, SqlRepository, TraceRow, create_engine, operation_timeout, schema
from axon_storage.dialects.aiosqlite_connection import connect
from axon_storage.testing.samples import sample
from tests.databases import Databases
from tests.faults.conftest import NETWORKED
from tests.faults.proxy import Proxy

FULL = "AXON_FAULTS" in os.environ
CALLS = 2_000 if FULL else 300
SMALL = {} if FULL else {"oracle-double-23ai": 60}
"""The Oracle double takes a hundred times as long to connect, and a cancelled call costs a connection."""
SEED, POOL, ROWS, FIRST = 20_261_125, 5, 30, 1000
GROUP_COMMIT = 2
"""The number of connections of group commit, beside the pool."""
OF_DRIVERS = ("unexpected connection_lost", "oracledb.thin_impl.AsyncProtocol")
"""Errors that asyncpg leaves behind when connecting is cancelled, and oracledb after a late answer."""

pytestmark = pytest.mark.timeout(1800 if FULL else 300)


@pytest.fixture(params=["sqlite", *NETWORKED])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def watched(databases: Databases, target: str) -> AsyncIterator[tuple[AsyncEngine, Callable[[], int]]]:
    """An engine whose pool has ``POOL`` connections, and a function that counts the open connections."""
    url = make_url((await databases.ready(target))[0])
    if target == "sqlite":  # each of its connections is a thread
        before = threading.active_count()
        yield create_engine(url, pool_size=POOL, max_overflow=0), lambda: threading.active_count() - before
        return
    proxy = Proxy(url.port or 0)
    async with proxy.running() as port:
        yield create_engine(url.set(port=port), pool_size=POOL, max_overflow=0), lambda: proxy.connections


def _pair(number: int) -> list[Row]:
    """Make two rows that must both be stored, or neither."""
    return [sample(TraceRow, trace_id=number), sample(EventRow, source=str(number))]


async def _single(storage: SqlRepository, number: int) -> None:
    await storage.append_event(sample(EventRow, source=f"{number} alone"))


async def _many(storage: SqlRepository, number: int) -> None:
    await storage.save_many(_pair(number) + [sample(EventRow, source=f"{number} of many")] * ROWS)


async def _transaction(storage: SqlRepository, number: int) -> None:
    async with storage.transaction() as transaction:
        for row in _pair(number):
            await transaction.save_many([row])


async def _read(storage: SqlRepository, _number: int) -> None:
    await storage.load_traces(ROWS)


KINDS = [_single, _many, _transaction, _read]


class Cancelling:
    """Makes calls, and cancels each at a random moment of the time that a call of its kind usually takes."""

    def __init__(self, storage: SqlRepository) -> None:
        self._storage = storage
        self._dice = random.Random(SEED)  # noqa: S311  # repeatable
        self._usual: dict[Any, float] = {}
        self.ends: Counter[str] = Counter()
        self.stored: set[str] = set()
        """The sources of the events whose calls succeeded."""

    async def learn(self) -> None:
        """Measure how long each kind of call takes, beside others and with open connections."""
        numbers = count(-1, -1)
        for kind in KINDS * 2:
            began = time.perf_counter()
            await asyncio.gather(*(kind(self._storage, next(numbers) % FIRST) for _ in range(POOL)))
            self._usual[kind] = time.perf_counter() - began

    async def call(self, number: int) -> None:
        """Make a call and cancel it, unless it ends before."""
        kind = self._dice.choice(KINDS)
        call = asyncio.create_task(kind(self._storage, number))
        await asyncio.wait({call}, timeout=self._dice.uniform(0, 1) * self._usual[kind])
        call.cancel()
        await asyncio.wait({call})
        end = "cancelled" if call.cancelled() else "failed" if call.exception() else "done"
        self.ends[end] += 1
        if end == "done" and kind is not _read:
            self.stored.add(f"{number} alone" if kind is _single else str(number))


async def test_calls_cancelled_at_any_point_leave_nothing_behind(
    watched: tuple[AsyncEngine, Callable[[], int]], target: str
) -> None:
    (engine, connections), calls = watched, SMALL.get(target, CALLS)
    with _unhandled_errors() as errors:
        async with SqlRepository(engine) as storage:
            cancelling = Cancelling(storage)
            await cancelling.learn()
            async with asyncio.TaskGroup() as workers:
                for worker in range(POOL):
                    workers.create_task(_each(cancelling.call, range(FIRST + worker, FIRST + calls, POOL)))
            await _whole(storage, cancelling.stored)
            with operation_timeout(30):  # a lock left behind would make this time out
                await storage.save_many(sample(TraceRow, trace_id=FIRST + number) for number in range(calls))
            print(f"{target}: seed {SEED}, {calls} calls, {dict(cancelling.ends)}, {connections()} open connections")  # noqa: T201  # shown with -rP
            await _all_free(engine)
            assert connections() >= POOL
            most = POOL if target == "sqlite" else POOL + GROUP_COMMIT
            while connections() > most:  # noqa: ASYNC110  # discarded connections are closed later
                await asyncio.sleep(0.05)
    assert cancelling.ends["cancelled"] > calls / 4
    assert cancelling.ends["failed"] == 0
    assert [error for error in errors if not any(known in repr(error) for known in OF_DRIVERS)] == []


async def _each(call: Callable[[int], Coroutine[Any, Any, None]], numbers: range) -> None:
    for number in numbers:
        await call(number)


async def _whole(storage: SqlRepository, stored: set[str]) -> None:
    """Check that both rows of each pair are stored or neither, and both if the call succeeded."""
    await storage.save_session(sample(SessionRow))  # is sent after the batch of a cancelled call
    traces = {trace.trace_id for trace in await storage.load_traces(10**6)}
    events = Counter(event.source for event in await storage.query_events(None, 10**6))
    assert stored <= set(events)
    for source, found in events.items():
        number, _, kind = source.partition(" ")
        assert kind == "alone" or int(number) in traces
        assert found == (ROWS if kind == "of many" else 1)
    assert traces - {int(source) for source in events if source.isdecimal()} == set()


async def _all_free(engine: AsyncEngine) -> None:
    """Check that all connections of the pool are free; if one is missing, this times out."""
    async with AsyncExitStack() as stack:
        for _ in range(POOL):
            await stack.enter_async_context(engine.connect())


@contextmanager
def _unhandled_errors() -> Iterator[list[dict[str, Any]]]:
    """Collect the event loop's reports of errors that no code handled, such as those of forgotten futures."""
    errors: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: errors.append(context))
    try:
        yield errors
        gc.collect()
    finally:
        loop.set_exception_handler(before)


@pytest.mark.parametrize("target", ["sqlite"])
@pytest.mark.parametrize("own_engine", [True, False])
async def test_an_append_cancelled_while_it_waits_for_the_files_lock_is_not_stored_later(
    databases: Databases, target: str, own_engine: bool
) -> None:
    url = make_url((await databases.ready(target))[0])
    engine = create_engine(url) if own_engine else create_async_engine(url.set(drivername="sqlite+aiosqlite"))
    storage = SqlRepository(engine)
    holder = sqlite3.connect(str(url.database), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    call = asyncio.create_task(storage.append_event(sample(EventRow)))
    await asyncio.sleep(0.05)
    call.cancel()
    await asyncio.sleep(0.05)
    holder.execute("COMMIT")
    await asyncio.wait({call})
    holder.execute("BEGIN IMMEDIATE")  # nobody else has the lock any more
    found = holder.execute("SELECT count(*) FROM event_history").fetchone()
    holder.close()
    await storage.close()
    assert call.cancelled()
    assert found == (0,)


async def test_a_transaction_cancelled_between_any_two_steps_releases_the_files_lock(tmp_path: Path) -> None:
    file = tmp_path / "agents.db"
    engine = create_engine(f"sqlite:///{file}")
    await schema.upgrade(engine)
    async with SqlRepository(engine) as storage:
        await storage.save_many([sample(SessionRow, key=str(number)) for number in range(50)])

        async def reads() -> None:
            async with storage.transaction() as transaction:
                await transaction.save_session(sample(SessionRow))
                await transaction.load_sessions("name")

        for steps in range(1, 40):
            call = asyncio.create_task(reads())
            for _ in range(steps):
                await asyncio.sleep(0)
                time.sleep(0.001)  # noqa: ASYNC251  # the file's thread ends its step before the event loop can notice
            call.cancel()
            await asyncio.wait({call})
            another = sqlite3.connect(file, isolation_level=None, timeout=5)
            another.execute("BEGIN IMMEDIATE")
            another.close()


@pytest.mark.parametrize("seconds", [0, 0.1])
async def test_a_file_whose_opening_is_cancelled_is_closed(tmp_path: Path, seconds: float) -> None:
    opened: list[sqlite3.Connection] = []

    class Kept(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            opened.append(self)

    async def opens() -> None:
        await connect(str(tmp_path / "a.db"), factory=Kept)

    before = set(threading.enumerate())
    opening = asyncio.create_task(opens())
    await asyncio.sleep(0)
    [thread] = set(threading.enumerate()) - before
    time.sleep(seconds)  # noqa: ASYNC251  # the thread opens the file before the event loop can notice
    opening.cancel()
    await asyncio.wait({opening})
    await asyncio.to_thread(thread.join)
    assert opening.cancelled()
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        opened[0].execute("SELECT 1")


async def test_a_cancellation_while_a_file_is_being_closed_is_not_lost(tmp_path: Path) -> None:
    class SlowToClose(sqlite3.Connection):
        def close(self) -> None:
            super().close()
            time.sleep(0.3)

    connection = await connect(str(tmp_path / "a.db"), factory=SlowToClose)
    closing = asyncio.create_task(connection.close())
    await asyncio.sleep(0.1)
    closing.cancel()
    await asyncio.wait({closing})
    assert closing.cancelled()
