"""Oracle's errors, provoked on a server: their classification and the driver's full code."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    QueryError,
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    StorageError,
    TraceRow,
    create_engine,
)
from axon_storage.engine.executor import Executor
from axon_storage.schema import upgrade
from axon_storage.sql.unit_of_work import UnitOfWork
from axon_storage.testing.samples import sample
from tests.databases import Databases

COLUMNS = "tenant_id, scope, key, value, source_step"
INSERT = f"INSERT INTO sessions ({COLUMNS}) VALUES ('default', 'name', :key, 'a value', 'a step')"
LOCK = "SELECT key FROM sessions WHERE key = 'held' FOR UPDATE"


@pytest.fixture
async def url(databases: Databases, target: str) -> str:
    made = await databases.empty(target)
    await upgrade(made)
    return made


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(url)
    await SqlRepository(made).save_session(sample(SessionRow, key="held"))
    yield made
    await made.dispose()


async def _refused(engine: AsyncEngine, sql: str, **parameters: Any) -> StorageError:
    """Run a statement in its own transaction, and return the error that it raises."""

    def work(connection: Connection) -> None:
        connection.execute(text(sql), parameters)

    with pytest.raises(StorageError) as refused:
        await Executor(engine).run("statement", UnitOfWork(work, writes=True))
    return refused.value


def _code(error: StorageError) -> str:
    cause: Any = error.__cause__
    code = str(cause.args[0].full_code)
    assert f"[{code}]" in str(error)
    return code


async def test_a_refused_login_is_a_connection_error_and_not_transient(url: str) -> None:
    engine = create_engine(make_url(url).set(password="not-the-password"))
    with pytest.raises(StorageConnectionError, match=r"^connection error: load_daemons: ") as refused:
        await SqlRepository(engine).load_daemons()
    assert _code(refused.value) == "ORA-01017"
    assert not refused.value.transient
    assert "not-the-password" not in str(refused.value)
    await engine.dispose()


async def test_a_unique_violation(engine: AsyncEngine) -> None:
    error = await _refused(engine, INSERT, key="held")
    assert isinstance(error, QueryError)
    assert _code(error) == "ORA-00001"
    assert error.transient  # among our statements only a MERGE that lost a race raises it


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        (INSERT, "ORA-12899"),
        ("UPDATE traces SET latency_ms = 12345678901234567890", "ORA-01438"),
        ("UPDATE sessions SET key = NULL", "ORA-01407"),
        ("SELECT nothing FROM nowhere", "ORA-00942"),
    ],
)
async def test_a_value_too_large_and_other_refusals_are_not_transient(engine: AsyncEngine, sql: str, code: str) -> None:
    await SqlRepository(engine).save_trace(sample(TraceRow))
    error = await _refused(engine, sql, **({"key": "k" * 257} if ":key" in sql else {}))
    assert isinstance(error, QueryError)
    assert _code(error) == code
    assert not error.transient
    assert "kkk" not in str(error)


@pytest.mark.parametrize(
    ("wait", "code"),
    [
        ("NOWAIT", "ORA-00054"),
        pytest.param("WAIT 1", "ORA-30006", marks=pytest.mark.fails_on("oracle-double", "it has no FOR UPDATE WAIT")),
    ],
)
async def test_a_lock_timeout_is_transient(engine: AsyncEngine, wait: str, code: str) -> None:
    async with engine.begin() as holder:
        await holder.execute(text(LOCK))
        error = await _refused(engine, f"{LOCK} {wait}")
    assert isinstance(error, QueryError)
    assert _code(error) == code
    assert error.transient


async def test_a_deadlock_ends_one_of_the_transactions_and_is_transient(engine: AsyncEngine) -> None:
    storage = SqlRepository(engine)
    both = asyncio.Barrier(2)

    async def cross(first: int, second: int) -> None:
        async with storage.transaction() as transaction:
            await transaction.save_trace(sample(TraceRow, trace_id=first))
            await both.wait()
            await transaction.save_trace(sample(TraceRow, trace_id=second))

    await storage.save_many(sample(TraceRow, trace_id=number) for number in (1, 2))
    outcomes = await asyncio.gather(cross(1, 2), cross(2, 1), return_exceptions=True)
    [error] = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(error, QueryError)
    assert _code(error) == "ORA-00060"
    assert error.transient


async def test_a_lost_connection_is_transient_and_a_call_is_retried(
    databases: Databases, engine: AsyncEngine, target: str
) -> None:
    storage = SqlRepository(engine)
    with pytest.raises(StorageConnectionError, match="connection error: save_session: ") as lost:
        async with storage.transaction() as transaction:
            await transaction.load_daemons()
            await databases.end_sessions(target, str(engine.url.username))
            await transaction.save_session(sample(SessionRow))
    assert _code(lost.value) == "DPY-4011"
    assert lost.value.transient
    await storage.save_session(sample(SessionRow))
    await databases.end_sessions(target, str(engine.url.username))
    assert await storage.get_session("name", "name") == sample(SessionRow)
