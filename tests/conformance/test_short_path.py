"""No call sends more than it must: what reads or appends goes without a transaction on PostgreSQL and SQLite."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import EventRow, QueryError, SessionRow, SqlRepository, create_engine, new_id
from tests.samples import sample

CACHES_OFF = {"statement_cache_size": "0", "prepared_statement_cache_size": "0"}
"""What a URL says where a pooler is in between."""

Call = Callable[[SqlRepository], Awaitable[Any]]

NONE: frozenset[str] = frozenset()
BOTH = frozenset({"postgresql", "sqlite"})

CALLS: dict[str, tuple[Call, frozenset[str]]] = {
    "an append": (lambda storage: storage.append_event(sample(EventRow)), NONE),
    "several appends": (lambda storage: storage.save_many([sample(EventRow)] * 3), frozenset({"sqlite"})),
    "a read": (lambda storage: storage.get_session("name", "name"), NONE),
    "a list": (lambda storage: storage.load_traces(9), NONE),
    "scopes": (lambda storage: storage.session_scopes(), NONE),
    "an eviction": (lambda storage: storage.evict_expired_cache(), NONE),
    "a save": (lambda storage: storage.save_session(sample(SessionRow)), BOTH),
    "a delete": (lambda storage: storage.delete_session("name", "name"), BOTH),
    "appends and a save": (lambda storage: storage.save_many([sample(EventRow), sample(SessionRow)]), BOTH),
}
"""Calls, and where each needs a transaction: what replaces or deletes must not be run late, several are whole."""

_OF_ONE_STATEMENT = [name for name in CALLS if name not in {"scopes", "appends and a save"}]

_POSTGRESQL_ALONE = pytest.mark.parametrize("target", ["postgresql"])


@pytest.fixture(params=sorted(BOTH))
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def one(url: str, engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """An engine of one connection, beside the emptied tables."""
    del engine
    made = create_engine(url, pool_size=1, max_overflow=0)
    yield made
    await made.dispose()


def transactions(engine: AsyncEngine) -> list[str]:
    """The BEGINs, COMMITs and ROLLBACKs that asyncpg sends, or SQLite runs."""
    sent: list[str] = []

    def note(query: str) -> None:
        word = query.partition(" ")[0].strip(";")
        if word in {"BEGIN", "COMMIT", "ROLLBACK"}:
            sent.append(word)

    def connect(connection: Any, _record: object) -> None:
        if engine.dialect.name == "sqlite":
            connection.run_async(lambda driver: driver.set_trace_callback(note))
        else:
            connection.driver_connection.add_query_logger(lambda logged: note(logged.query))

    event.listen(engine.sync_engine, "connect", connect)
    return sent


async def sent_by(call: Call, engine: AsyncEngine) -> list[str]:
    """The transactions of one call on a connection that has been in use."""
    sent, repository = transactions(engine), SqlRepository(engine)
    await repository.append_event(sample(EventRow))
    await asyncio.sleep(0)  # asyncpg tells a moment later
    sent.clear()
    await call(repository)
    await asyncio.sleep(0)
    return sent


@pytest.mark.parametrize(("call", "transactional"), CALLS.values(), ids=CALLS)
async def test_only_what_needs_a_transaction_has_one(
    target: str, one: AsyncEngine, call: Call, transactional: frozenset[str]
) -> None:
    assert await sent_by(call, one) == (["BEGIN", "COMMIT"] if target in transactional else [])


@_POSTGRESQL_ALONE
@pytest.mark.parametrize("call", [call for call, _ in CALLS.values()], ids=CALLS)
async def test_behind_a_pooler_everything_has_a_transaction(url: str, one: AsyncEngine, call: Call) -> None:
    del one
    engine = create_engine(make_url(url).update_query_dict(CACHES_OFF), pool_size=1, max_overflow=0)
    sent = await sent_by(call, engine)
    await engine.dispose()
    assert sent == ["BEGIN", "COMMIT"]


@_POSTGRESQL_ALONE
async def test_on_a_connection_that_was_there_before_everything_has_a_transaction(one: AsyncEngine) -> None:
    sent = transactions(one)
    async with one.connect() as connection:
        connection.info.clear()  # as if it were made before this package saw the engine
    repository = SqlRepository(one)
    sent.clear()
    await repository.append_event(sample(EventRow))
    await asyncio.sleep(0)
    assert sent == ["BEGIN", "COMMIT"]


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
    await asyncio.sleep(0)  # it has begun, and waits for the driver
    call.cancel()
    await asyncio.wait({call})
    assert call.cancelled()


async def test_a_write_is_stored_after_a_host_has_set_an_isolation_level(one: AsyncEngine) -> None:
    repository = SqlRepository(one)
    await repository.append_event(sample(EventRow))
    await _has_set_an_isolation_level(repository)
    await repository.append_event(sample(EventRow))
    assert len(await repository.query_events(None, 9)) == 2


@pytest.mark.parametrize("before", [_succeeds, _fails, _is_cancelled, _has_set_an_isolation_level])
async def test_the_next_user_of_the_connection_has_its_transaction(one: AsyncEngine, before: Call) -> None:
    repository = SqlRepository(one)
    await before(repository)
    async with one.connect() as connection:
        await connection.execute(text("INSERT INTO sessions VALUES ('default', 'a', 'b', 'c', 'd')"))
        await connection.rollback()
    assert await repository.load_sessions("a") == []


@pytest.mark.parametrize("target", ["sqlite"])
@pytest.mark.parametrize(("name", "steps"), [("an append", 1), ("a read", 2), ("a save", 3), ("a delete", 3)])
async def test_the_files_thread_is_woken_for_what_takes_time_alone(
    one: AsyncEngine, monkeypatch: pytest.MonkeyPatch, name: str, steps: int
) -> None:
    repository, woken, execute = SqlRepository(one), [], aiosqlite.Connection._execute

    async def counted(connection: aiosqlite.Connection, step: Any, *args: Any, **kwargs: Any) -> Any:
        woken.append(step)
        return await execute(connection, step, *args, **kwargs)  # type: ignore[no-untyped-call]  # as aiosqlite has it

    await CALLS[name][0](repository)
    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)
    await CALLS[name][0](repository)
    assert len(woken) == steps


@pytest.mark.parametrize("target", ["mariadb", "mysql"])
@pytest.mark.parametrize("call", [CALLS[name][0] for name in _OF_ONE_STATEMENT], ids=_OF_ONE_STATEMENT)
async def test_elsewhere_a_call_is_its_statement_and_a_commit(one: AsyncEngine, call: Call) -> None:
    repository = SqlRepository(one)
    await call(repository)
    before, after_nothing = await _questions(one), await _questions(one)
    await call(repository)
    assert await _questions(one) - after_nothing - (after_nothing - before) == 2


async def _questions(engine: AsyncEngine) -> int:
    """How many statements the server was sent on the one connection."""
    async with engine.begin() as connection:
        found = await connection.execute(text("SHOW SESSION STATUS LIKE 'Questions'"))
        return int(found.one()[1])
