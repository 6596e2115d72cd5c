"""A client that hangs in a transaction: the server ends its statement or its transaction, and others get its locks."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import InvalidArgumentError, SessionRow, SqlRepository, create_engine, open_storage, operation_timeout
from axon_storage.engine.create import engine_like
from axon_storage.engine.executor import Executor
from axon_storage.engine.open_transaction import open_transaction
from axon_storage.engine.retry import Retry
from axon_storage.opening import open_backend
from axon_storage.sql.unit_of_work import UnitOfWork
from axon_storage.testing.samples import sample
from tests.accounts import run
from tests.databases import Databases

CHECKOUT = Path(__file__).parents[2]
ROW, OTHER = (sample(SessionRow, key=key) for key in ("row", "other"))

_HANGING = """
import asyncio, sys
from axon_storage import SessionRow, open_storage
from axon_storage.engine.create import engine_like
from axon_storage.engine.executor import Executor
from axon_storage.testing.samples import sample

Executor.grace_seconds = 0.5

async def main(url, *keys):
    limits = {"operation_timeout": 3, "statement_timeout": 3.5, "idle_transaction_timeout": 1}
    async with open_storage(url, **limits) as storage:
        async with storage.transaction() as transaction:
            for key in keys:
                print(key, flush=True)
                await transaction.save_session(sample(SessionRow, key=key))
            print("idle", flush=True)
            await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""

SETTINGS = {
    "postgresql": "SELECT setting::int / 1000.0 FROM pg_settings"
    " WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout') ORDER BY name DESC",
    "mariadb": "SELECT @@max_statement_time UNION ALL SELECT @@idle_transaction_timeout",
    "mysql": "SELECT @@max_execution_time / 1000 UNION ALL SELECT @@wait_timeout",
}


@pytest.fixture(params=["postgresql", "mariadb", "mysql"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def hanging(url: str, *keys: str, at: str) -> AsyncIterator[None]:
    """Save rows in a transaction of a process, and stop the process when it has printed ``at``."""
    process = subprocess.Popen(  # noqa: ASYNC220  # the test does not wait for it
        [sys.executable, "-c", _HANGING, url, *keys], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        while (line := await asyncio.to_thread(process.stdout.readline)) != f"{at}\n":
            assert line, "the process has ended"
        await asyncio.sleep(0.2)  # its statement arrives
        process.send_signal(signal.SIGSTOP)
        yield
        assert process.poll() is None  # it is still there, and has not answered
    finally:
        process.kill()
        process.communicate()


def settings(target: str) -> UnitOfWork[list[float]]:
    """Return what reads a session's limits of statements and of idle transactions."""
    query = text(SETTINGS[target])
    return UnitOfWork(lambda connection: [float(value) for value in connection.execute(query).scalars()], writes=False)


async def limits_of(engine: AsyncEngine, target: str) -> list[float]:
    async with engine.connect() as connection:
        return await connection.run_sync(settings(target).run)


def sleeps(target: str) -> UnitOfWork[Any]:
    """Return a statement that takes longer than a second, and that a limit ends with an error or another result."""
    query = text("SELECT 0 FROM pg_sleep(1.2)" if target == "postgresql" else "SELECT SLEEP(1.2)")
    return UnitOfWork(lambda connection: connection.execute(query).scalar_one(), writes=False)


async def test_the_locks_of_a_process_that_hangs_in_a_transaction_are_released(url: str) -> None:
    async with hanging(url, "row", at="idle"), open_storage(url) as storage:
        await storage.save_session(ROW)


async def test_the_locks_of_a_process_that_hangs_in_a_wait_for_a_lock_are_released(url: str) -> None:
    async with open_storage(url) as storage, storage.transaction() as transaction:
        await transaction.save_session(OTHER)
        async with hanging(url, "row", "other", at="other"), open_storage(url) as another:
            await another.save_session(ROW)


async def test_the_defaults_follow_the_operation_timeout(url: str, target: str) -> None:
    async with await open_backend(url, operation_timeout=20) as storage:
        assert isinstance(storage, SqlRepository)
        await storage.load_traces(1)  # the check of the schema may take longer, and has left its limit
        assert await limits_of(storage.engine, target) == [35, 300]
    async with await open_backend(url, statement_timeout=None, idle_transaction_timeout=None) as storage:
        assert isinstance(storage, SqlRepository)
        assert 300 not in await limits_of(storage.engine, target)


@pytest.mark.parametrize("option", ["statement_timeout", "idle_transaction_timeout"])
async def test_a_limit_that_is_not_positive_is_refused(option: str) -> None:
    with pytest.raises(InvalidArgumentError, match="a timeout must be more than 0 seconds"):
        await open_backend("sqlite:///nowhere.db", **{option: 0})  # type: ignore[arg-type]


async def test_a_call_with_a_longer_timeout_has_a_longer_limit(url: str, target: str) -> None:
    engine = create_engine(url, pool_size=1, statement_timeout=1)
    executor = Executor(engine, retry=Retry(attempts=1))
    executor.grace_seconds = 0
    assert await executor.run("sleep", sleeps(target)) == 0
    with operation_timeout(0.9):
        limits = await executor.run("settings", settings(target))
    assert 1 in limits  # the next call has the limit of the engine again
    await engine.dispose()


async def test_a_call_in_a_transaction_with_a_longer_timeout_has_a_longer_limit(url: str, target: str) -> None:
    engine = create_engine(url, pool_size=1, statement_timeout=1)
    executor = Executor(engine, retry=Retry(attempts=1), timeout=0.9)
    executor.grace_seconds = 0
    async with open_transaction(executor) as transaction:
        assert 1 in await transaction.run("settings", settings(target))
        with operation_timeout(30):
            assert await transaction.run("sleep", sleeps(target)) == 0
    assert 1 in await executor.run("settings", settings(target))
    with operation_timeout(30):
        assert await executor.run("sleep", sleeps(target)) == 0
    await engine.dispose()


async def test_a_statement_that_takes_longer_is_ended_by_the_server(url: str, target: str) -> None:
    engine = create_engine(url, statement_timeout=1)
    async with engine.connect() as connection:
        try:
            ended = await connection.run_sync(sleeps(target).run) == 1  # MySQL ends the function SLEEP
        except DBAPIError:
            ended = True
    assert ended
    await engine.dispose()


async def test_a_call_sends_nothing_for_its_limits(url: str) -> None:
    async with await open_backend(url) as storage:
        assert isinstance(storage, SqlRepository)
        sent = list[str]()
        event.listen(storage.engine.sync_engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
        for _ in range(2):
            sent.clear()
            await storage.load_traces(1)
        assert len(sent) == 1


async def test_the_connections_of_group_commits_and_of_health_checks_have_the_limits(url: str, target: str) -> None:
    engine = create_engine(url, statement_timeout=7, idle_transaction_timeout=8)
    executor = Executor(engine, timeout=1)
    assert await executor.run("settings", settings(target)) == [7, 8]
    assert await executor.run("settings", settings(target), group=True) == [7, 8]
    for_health = engine_like(engine)
    assert await limits_of(for_health, target) == [7, 8]
    await for_health.dispose()
    await executor.close()


@pytest.mark.parametrize("target", ["postgresql"])
async def test_a_stricter_limit_of_the_server_is_kept(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    names = ("statement_timeout", "idle_in_transaction_session_timeout")
    database = make_url(url).database
    for given, kept in ((10, ["10s", "10s"]), (1_000, ["20s", "30s"]), (0, ["20s", "30s"])):
        await run(url, [f"ALTER DATABASE {database} SET {name} = '{given}s'" for name in names])
        engine = create_engine(url, pool_size=1, statement_timeout=20, idle_transaction_timeout=30)
        async with engine.connect() as connection:
            assert [(await connection.execute(text(f"SHOW {name}"))).scalar_one() for name in names] == kept
        await engine.dispose()
