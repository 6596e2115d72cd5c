"""Calls of one statement, which some drivers send by themselves: no application and no other call sees a difference."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import EventRow, QueryError, SerializationError, SessionRow, SqlRepository, TraceRow, create_engine
from axon_storage.testing.samples import sample

Call = Callable[[SqlRepository], Awaitable[Any]]

CALLS: dict[str, tuple[str, Call]] = {
    "a read": ("SELECT", lambda storage: storage.get_session("name", "name")),
    "an append": ("INSERT", lambda storage: storage.append_event(sample(EventRow))),
    "a save": ("sessions", lambda storage: storage.save_session(sample(SessionRow))),
    "a delete": ("DELETE", lambda storage: storage.delete_session("name", "name")),
}
"""Calls of one statement, each with a word of it."""


@pytest.mark.parametrize("name", ["before_cursor_execute", "after_cursor_execute"])
@pytest.mark.parametrize(("word", "call"), CALLS.values(), ids=CALLS)
async def test_an_application_that_listens_to_statements_sees_each(
    single_connection: AsyncEngine, name: str, word: str, call: Call
) -> None:
    storage = SqlRepository(single_connection)
    await call(storage)
    seen = list[str]()
    event.listen(single_connection.sync_engine, name, lambda *arguments: seen.append(arguments[2]))
    await call(storage)
    assert any(word in statement for statement in seen)


@pytest.mark.parametrize(("word", "call"), CALLS.values(), ids=CALLS)
async def test_an_application_that_logs_statements_sees_each(
    single_connection: AsyncEngine, caplog: pytest.LogCaptureFixture, word: str, call: Call
) -> None:
    storage = SqlRepository(single_connection)
    await call(storage)
    with caplog.at_level(logging.INFO, logger="sqlalchemy.engine"):
        await call(storage)
    assert word in caplog.text


@pytest.mark.parametrize("call", [call for _, call in CALLS.values()], ids=CALLS)
async def test_after_a_call_its_connection_is_free_for_others(single_connection: AsyncEngine, call: Call) -> None:
    storage = SqlRepository(single_connection)
    for _ in range(3):
        await call(storage)
    pool: Any = single_connection.sync_engine.pool
    await asyncio.sleep(0)
    assert pool.checkedout() == 0
    await call(storage)
    async with single_connection.connect() as connection:  # the pool has only this one
        await connection.execute(text("SELECT 1 FROM sessions"))
        waiting: asyncio.Future[Any] = asyncio.ensure_future(call(storage))
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


@pytest.mark.parametrize("call", [call for _, call in CALLS.values()], ids=CALLS)
async def test_calls_at_the_same_time_share_the_pool(single_connection: AsyncEngine, call: Call) -> None:
    storage = SqlRepository(single_connection)
    await asyncio.gather(*(call(storage) for _ in range(20)))
    async with single_connection.connect() as connection:
        await connection.execute(text("SELECT 1 FROM sessions"))


async def test_a_transaction_after_a_call_needs_no_second_connection(url: str) -> None:
    async with SqlRepository(create_engine(url, pool_size=5)) as storage:
        pool: Any = storage.engine.sync_engine.pool
        for _ in range(2):
            await storage.load_traces(1)
            async with storage.transaction() as transaction:
                await transaction.load_traces(1)
        await asyncio.sleep(0)
        assert (pool.checkedin(), pool.checkedout()) == (1, 0)


@pytest.mark.parametrize("call", [call for _, call in CALLS.values()], ids=CALLS)
async def test_an_engine_that_is_disposed_of_right_after_a_call_closes_its_connections(url: str, call: Call) -> None:
    engine, opened, closed = create_engine(url, pool_size=2), list[Any](), list[Any]()
    event.listen(engine.sync_engine, "connect", lambda connection, _record: opened.append(connection))
    event.listen(engine.sync_engine, "close", lambda connection, _record: closed.append(connection))
    storage = SqlRepository(engine)
    await call(storage)
    await call(storage)
    await engine.dispose()
    assert closed == opened != []


@pytest.mark.parametrize("target", ["sqlite"])  # servers check JSON themselves
async def test_a_value_that_cannot_be_decoded_is_an_error_of_its_table(single_connection: AsyncEngine) -> None:
    storage = SqlRepository(single_connection)
    await storage.save_trace(sample(TraceRow, trace_id=1))
    async with single_connection.begin() as connection:
        await connection.execute(text("UPDATE traces SET events = 'no JSON'"))
    with pytest.raises(SerializationError, match="traces: a stored value cannot be read"):
        await storage.get_trace(1)
    with pytest.raises(SerializationError, match="traces: a stored value cannot be read"):
        await storage.load_traces(1)


@pytest.mark.needs_role("owner", reason="it renames a table")
async def test_a_save_that_fails_leaves_no_transaction(single_connection: AsyncEngine) -> None:
    storage = SqlRepository(single_connection)
    await storage.save_session(sample(SessionRow, key="a"))
    async with single_connection.begin() as connection:
        await connection.execute(text("ALTER TABLE sessions RENAME TO elsewhere"))
    try:
        with pytest.raises(QueryError):
            await storage.save_session(sample(SessionRow, key="b"))
    finally:
        async with single_connection.begin() as connection:
            await connection.execute(text("ALTER TABLE elsewhere RENAME TO sessions"))
    await storage.save_session(sample(SessionRow, key="c"))
    assert [row.key for row in await storage.load_sessions("name")] == ["a", "c"]
