"""Errors of connections and statements, and what their messages and the log must not show."""

import logging

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from axon_storage import (
    EventRow,
    QueryError,
    SerializationError,
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    StorageDispatcher,
    TraceRow,
    open_storage,
    schema,
)
from axon_storage.testing.samples import sample
from tests.databases import Databases


@pytest.mark.not_on("sqlite", "a file has no password")
async def test_the_error_of_a_wrong_password_does_not_show_it(url: str, caplog: pytest.LogCaptureFixture) -> None:
    wrong = make_url(url).set(password="not-the-secret").render_as_string(hide_password=False)
    with caplog.at_level(logging.DEBUG), pytest.raises(StorageConnectionError) as refused:
        await StorageDispatcher.from_url(wrong)
    assert not refused.value.transient
    assert refused.value.__cause__ is not None
    assert "not-the-secret" not in f"{refused.value} {refused.value.__cause__!r} {caplog.text}"


async def test_no_log_shows_a_stored_value_at_any_level(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with open_storage(url) as storage:
            await storage.save_session(sample(SessionRow, value="the secret"))
            await storage.save_many(sample(SessionRow, key=f"{n}", value="the secret") for n in range(3))
            async with storage.transaction() as transaction:
                await transaction.append_event(sample(EventRow, payload={"text": "the secret"}))
            with pytest.raises(SerializationError):
                await storage.save_session(sample(SessionRow, value="the secret\0"))
            assert len(await storage.load_sessions("name")) == 4
            await storage.delete_session("name", "name")
    assert "the secret" not in caplog.text


@pytest.mark.fails_on("oracle-double", "it serves every service name")
async def test_a_missing_database_is_a_connection_error(url: str, target: str) -> None:
    missing = make_url(url)
    if "oracle" in target:
        missing = missing.update_query_dict({"service_name": "NO_SUCH_SERVICE"})
    else:
        missing = missing.set(database="/nowhere/at/all.db" if target == "sqlite" else "no_such_database")
    with pytest.raises(StorageConnectionError, match=r"^connection error: (open|upgrade): \[") as refused:
        await StorageDispatcher.from_url(missing.render_as_string(hide_password=False))
    assert not refused.value.transient


@pytest.mark.not_on("sqlite", "there is no server")
async def test_a_server_that_does_not_listen_is_a_transient_connection_error(url: str) -> None:
    nowhere = make_url(url).set(port=1).render_as_string(hide_password=False)
    with pytest.raises(StorageConnectionError) as refused:
        await StorageDispatcher.from_url(nowhere)
    assert refused.value.transient


@pytest.mark.needs_role("owner", reason="it needs a database without a schema")
async def test_a_statement_that_the_database_refuses_is_a_query_error(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    await schema.upgrade(url)
    async with open_storage(url) as storage:
        assert isinstance(storage.backend, SqlRepository)
        async with storage.backend.engine.begin() as connection:
            await connection.execute(text("DROP TABLE sessions"))
        with pytest.raises(QueryError, match="query error: save_session: ") as refused:
            await storage.save_session(sample(SessionRow, value="a bound value " * 20))
        assert not refused.value.transient
        assert type(refused.value.__cause__).__module__.partition(".")[0] != "sqlalchemy"
        assert "a bound value" not in str(refused.value)
        await storage.save_trace(sample(TraceRow))  # the pool is clean
