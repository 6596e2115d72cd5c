"""No call sends more statements than it needs: on PostgreSQL and SQLite, reads and appends have no BEGIN and COMMIT."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import EventRow, QueryError, SessionRow, SqlRepository, create_engine, new_id
from axon_storage.model.rows import check_row
from axon_storage.sql.tables import sessions
from axon_storage.testing.samples import sample

CACHES_OFF = {"statement_cache_size": "0", "prepared_statement_cache_size": "0"}
"""The parameters of a URL that leads to a pooler."""

Call = Callable[[SqlRepository], Awaitable[Any]]

NOWHERE: frozenset[str] = frozenset()
BOTH = frozenset({"postgresql", "sqlite"})

CALLS: dict[str, tuple[Call, frozenset[str]]] = {
    "an append": (lambda storage: storage.append_event(sample(EventRow)), NOWHERE),
    "several appends": (lambda storage: storage.save_many([sample(EventRow)] * 3), frozenset({"sqlite"})),
    "a read": (lambda storage: storage.get_session("name", "name"), NOWHERE),
    "a list": (lambda storage: storage.load_traces(9), NOWHERE),
    "scopes": (lambda storage: storage.session_scopes(), NOWHERE),
    "an eviction": (lambda storage: storage.evict_expired_cache(), NOWHERE),
    "a save": (lambda storage: storage.save_session(sample(SessionRow)), BOTH),
    "a delete": (lambda storage: storage.delete_session("name", "name"), BOTH),
    "appends and a save": (lambda storage: storage.save_many([sample(EventRow), sample(SessionRow)]), BOTH),
}
"""Calls, and the databases on which each needs a transaction.

A statement that replaces or deletes rows needs one, because a server that ran it late could overwrite newer rows.
Several statements that write need one, because all of them are stored or none.
"""

_SINGLE_STATEMENT = [name for name in CALLS if name not in {"scopes", "appends and a save"}]

_ONLY_POSTGRESQL = pytest.mark.parametrize("target", ["postgresql"])


@pytest.fixture(params=sorted(BOTH))
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Sent(list[str]):
    """The statements of an engine's connections, and the errors they ended in."""

    def transactions(self) -> list[str]:
        """Return the BEGINs, COMMITs and ROLLBACKs among them."""
        words = [statement.partition(" ")[0].strip(";") for statement in self]
        return [word for word in words if word in {"BEGIN", "COMMIT", "ROLLBACK"}]


def statements_of(engine: AsyncEngine, *, listening: bool = False) -> Sent:
    """Record each BEGIN, COMMIT and ROLLBACK of an engine, and on SQLite each statement, at the moment it is sent.

    SQLAlchemy's events do not show whether its drivers send a BEGIN, so the drivers are asked. asyncpg's query logger
    would report a statement only when the event loop comes to it. ``listening``: the application listens to
    SQLAlchemy's events, so that the driver does not send single statements by itself.
    """
    sent = Sent()

    class RecordingConnection(asyncpg.Connection):
        async def execute(self, query: str, *args: object, **options: Any) -> str:
            sent.append(query)
            return await super().execute(query, *args, **options)

    def before_connect(_dialect: object, _record: object, _positional: object, keywords: dict[str, Any]) -> None:
        keywords["connection_class"] = RecordingConnection

    def after_connect(connection: Any, _record: object) -> None:
        connection.run_async(lambda driver: driver.set_trace_callback(sent.append))

    def after_error(context: Any) -> None:
        sent.append(f"error: {context.original_exception!r}")

    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", after_connect)
    else:
        event.listen(engine.sync_engine, "do_connect", before_connect)
    if listening:
        event.listen(engine.sync_engine, "handle_error", after_error)
    return sent


async def statements_sent_by(call: Call, engine: AsyncEngine, *, listening: bool = False) -> Sent:
    """Record the statements of one call on a connection that has been in use."""
    sent, repository = statements_of(engine, listening=listening), SqlRepository(engine)
    await repository.append_event(sample(EventRow))
    sent.clear()
    await call(repository)
    return sent


@pytest.mark.parametrize("listening", [False, True], ids=["", "listening"])
@pytest.mark.parametrize(("call", "transactional"), CALLS.values(), ids=CALLS)
async def test_only_what_needs_a_transaction_has_one(
    target: str, single_connection: AsyncEngine, call: Call, transactional: frozenset[str], *, listening: bool
) -> None:
    sent = await statements_sent_by(call, single_connection, listening=listening)
    assert sent.transactions() == (["BEGIN", "COMMIT"] if target in transactional else []), sent


@_ONLY_POSTGRESQL
@pytest.mark.parametrize("call", [call for call, _ in CALLS.values()], ids=CALLS)
async def test_behind_a_pooler_every_call_has_a_transaction(url: str, call: Call) -> None:
    engine = create_engine(make_url(url).update_query_dict(CACHES_OFF), pool_size=1, max_overflow=0)
    sent = await statements_sent_by(call, engine)
    await engine.dispose()
    assert sent.transactions() == ["BEGIN", "COMMIT"], sent


@_ONLY_POSTGRESQL
async def test_on_a_connection_made_before_the_repository_every_call_has_a_transaction(
    single_connection: AsyncEngine,
) -> None:
    sent = statements_of(single_connection)
    async with single_connection.connect() as connection:
        connection.info.clear()  # as if it were made before this package saw the engine
    repository = SqlRepository(single_connection)
    await repository.append_event(sample(EventRow))  # the first call also asks for row-level security
    sent.clear()
    await repository.append_event(sample(EventRow))
    assert sent.transactions() == ["BEGIN", "COMMIT"], sent


async def _succeeds(storage: SqlRepository) -> None:
    await storage.append_event(sample(EventRow))


async def _fails(storage: SqlRepository) -> None:
    async with storage.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE event_history RENAME TO elsewhere"))
    try:
        with pytest.raises(QueryError):
            await storage.append_event(sample(EventRow))
    finally:
        async with storage.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE elsewhere RENAME TO event_history"))


async def _has_set_an_isolation_level(storage: SqlRepository) -> None:
    for level in ("AUTOCOMMIT", "SERIALIZABLE"):
        async with storage.engine.connect() as connection:
            await connection.execution_options(isolation_level=level)
            await connection.execute(text("SELECT 1"))


async def _is_cancelled(storage: SqlRepository) -> None:
    call = asyncio.create_task(storage.append_event(sample(EventRow), id=new_id()))
    await asyncio.sleep(0)  # the call begins, and waits for the driver
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled()


async def test_a_write_is_stored_after_a_host_has_set_an_isolation_level(single_connection: AsyncEngine) -> None:
    repository = SqlRepository(single_connection)
    await repository.append_event(sample(EventRow))
    await _has_set_an_isolation_level(repository)
    await repository.append_event(sample(EventRow))
    assert len(await repository.query_events(None, 9)) == 2


@pytest.mark.parametrize(
    "before",
    [
        _succeeds,
        pytest.param(_fails, marks=pytest.mark.needs_role("owner", reason="it renames a table")),
        _is_cancelled,
        _has_set_an_isolation_level,
    ],
)
async def test_the_next_user_of_the_connection_has_its_transaction(
    single_connection: AsyncEngine, before: Call
) -> None:
    repository = SqlRepository(single_connection)
    await before(repository)
    async with single_connection.connect() as connection:
        await connection.execute(sessions.insert(), check_row(sample(SessionRow, scope="a")).values)
        await connection.rollback()
    assert await repository.load_sessions("a") == []


@pytest.mark.parametrize("target", ["sqlite"])
@pytest.mark.parametrize(("name", "steps"), [("an append", 1), ("a read", 1), ("a save", 1), ("a delete", 1)])
async def test_aiosqlites_thread_runs_only_the_steps_that_take_time(
    single_connection: AsyncEngine, caplog: pytest.LogCaptureFixture, name: str, steps: int
) -> None:
    repository = SqlRepository(single_connection)
    await CALLS[name][0](repository)
    with caplog.at_level(logging.DEBUG, logger="aiosqlite"):
        await CALLS[name][0](repository)
    assert [record.msg for record in caplog.records].count("executing %s") == steps


@pytest.mark.parametrize("target", ["mariadb", "mysql"])
@pytest.mark.parametrize("call", [CALLS[name][0] for name in _SINGLE_STATEMENT], ids=_SINGLE_STATEMENT)
async def test_on_mysql_and_mariadb_a_call_is_its_statement_and_a_commit(
    single_connection: AsyncEngine, call: Call
) -> None:
    repository = SqlRepository(single_connection)
    await call(repository)
    first, second = await _questions(single_connection), await _questions(single_connection)
    cost_of_asking = second - first
    await call(repository)
    assert await _questions(single_connection) - second - cost_of_asking == 2


async def _questions(engine: AsyncEngine) -> int:
    """Return how many statements the server has received on the one connection."""
    async with engine.begin() as connection:
        found = await connection.execute(text("SHOW SESSION STATUS LIKE 'Questions'"))
        return int(found.one()[1])
