"""Writes beside open transactions: their order, what they wait for, and that neither makes the other fail."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    CacheRow,
    EventRow,
    QueryError,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageConnectionError,
    create_engine,
    new_id,
    operation_timeout,
)
from tests.samples import sample

pytestmark = pytest.mark.timeout(120)

held_up_on_sqlite = pytest.mark.not_on("sqlite", "a transaction that writes holds up every other")
no_brief_lock_wait = pytest.mark.not_on(
    "oracle", "a row that is not committed cannot be locked, so a batch waits for it"
)


def save(storage: StorageBackend, key: str, value: str = "") -> Awaitable[None]:
    return storage.save_session(sample(SessionRow, scope="s", key=key, value=value))


async def value_of(storage: StorageBackend, key: str) -> str | None:
    entry = await storage.get_session("s", key)
    return None if entry is None else entry.value


def start(*calls: Awaitable[Any]) -> "list[asyncio.Future[Any]]":
    return [asyncio.ensure_future(call) for call in calls]


@asynccontextmanager
async def storage_with(url: str, *, group_commit: bool = True, **options: Any) -> AsyncIterator[SqlRepository]:
    async with SqlRepository(create_engine(url, **options), group_commit=group_commit) as storage:
        yield storage


# Order.


@pytest.mark.parametrize("group_commit", [True, False])
async def test_a_later_write_stays_though_it_also_waits_for_a_transaction(
    engine: AsyncEngine, *, group_commit: bool
) -> None:
    storage = SqlRepository(engine, group_commit=group_commit)
    for turn in range(5):
        async with storage.transaction() as transaction:
            await save(transaction, "held")
            both = [sample(SessionRow, scope="s", key=key, value=f"{turn} new") for key in ("row", "held")]
            calls = start(save(storage, "other"), save(storage, "row", f"{turn} old"), storage.save_many(both))
            await asyncio.sleep(0.05)
        await asyncio.gather(*calls)
        assert await value_of(storage, "row") == f"{turn} new"


@pytest.mark.parametrize("group_commit", [True, False])
async def test_writes_of_one_row_take_effect_in_the_order_of_their_calls(
    engine: AsyncEngine, *, group_commit: bool
) -> None:
    storage, dice = SqlRepository(engine, group_commit=group_commit), random.Random(7)  # noqa: S311  # repeatable
    for turn in range(10):
        calls, last = [], dict[str, str]()
        for number in range(20):
            keys = dice.sample(["a", "b", "c"], dice.randint(1, 3))
            rows = [sample(SessionRow, scope="s", key=key, value=f"{turn} {number}") for key in keys]
            calls += start(storage.save_many(rows) if len(rows) > 1 else storage.save_session(rows[0]))
            last |= dict.fromkeys(keys, f"{turn} {number}")
            if dice.random() < 0.3:
                await asyncio.sleep(0.001)
        await asyncio.gather(*calls)
        assert {key: await value_of(storage, key) for key in last} == last


@pytest.mark.not_on("oracle", "the double goes on with a statement that waits for a lock when its client is gone")
@pytest.mark.parametrize("ends", ["cancelled", "timed out"])
@pytest.mark.parametrize("group_commit", [True, False])
async def test_a_write_that_was_given_up_is_not_stored_over_a_later_one(
    engine: AsyncEngine, ends: str, *, group_commit: bool
) -> None:
    storage = SqlRepository(engine, group_commit=group_commit)
    async with storage.transaction() as transaction:
        await save(transaction, "row", "first")
        await save(transaction, "held")
        [other] = start(save(storage, "held"))  # on its way, so that the next one is queued
        await asyncio.sleep(0.02)
        with operation_timeout(0.1 if ends == "timed out" else 60):
            [given_up] = start(save(storage, "row", "given up"))
        await asyncio.sleep(0.05)
        if ends == "cancelled":
            given_up.cancel()
        await asyncio.wait({given_up})
        assert given_up.cancelled() or isinstance(given_up.exception(), StorageConnectionError)
        await save(transaction, "row", "last")
    await other
    assert await value_of(storage, "row") == "last"
    await save(storage, "held")  # behind whatever was still on its way
    assert await value_of(storage, "row") == "last"


async def test_a_cancelled_batch_member_takes_nobody_with_it(engine: AsyncEngine) -> None:
    storage = SqlRepository(engine)
    keys = [str(number) for number in range(40)]
    for turn in range(6):
        calls = start(*(save(storage, key, f"{turn}") for key in keys))
        await asyncio.sleep(0.001 * turn)
        for call in calls[::5]:
            call.cancel()
        await asyncio.wait(calls)
        first = {key: await value_of(storage, key) for key in keys}
        for key, call in zip(keys, calls, strict=True):
            assert call.cancelled() or first[key] == f"{turn}"
        assert {key: await value_of(storage, key) for key in keys} == first


# Waiting.


@held_up_on_sqlite
@no_brief_lock_wait
async def test_two_servers_and_a_batch_wait_for_each_other_in_no_circle(url: str) -> None:
    async with storage_with(url) as one, storage_with(url) as other, asyncio.timeout(20):

        async def first() -> None:
            async with one.transaction() as transaction:
                await save(transaction, "x")
                await asyncio.sleep(0.2)
                await save(transaction, "m")

        async def second() -> None:
            async with other.transaction() as transaction:
                await save(transaction, "r")
                await asyncio.sleep(0.3)
                await save(transaction, "x")

        async def writes() -> None:
            await asyncio.sleep(0.1)
            await asyncio.gather(save(one, "a"), save(one, "m"), save(one, "r"))

        await asyncio.gather(first(), second(), writes())


@held_up_on_sqlite
@no_brief_lock_wait
@pytest.mark.parametrize("in_order", [True, False])
async def test_transactions_are_not_ended_by_deadlocks_with_single_writes(
    engine: AsyncEngine, *, in_order: bool
) -> None:
    storage, dice = SqlRepository(engine), random.Random(3)  # noqa: S311  # repeatable
    keys, done = [str(number) for number in range(8)], asyncio.Event()
    await asyncio.gather(*(save(storage, key) for key in keys))

    async def write() -> None:
        while not done.is_set():
            await save(storage, dice.choice(keys))

    writers = start(*(write() for _ in range(20)))
    for _ in range(40):
        pair = dice.sample(keys, 2)
        async with storage.transaction() as transaction:
            for key in sorted(pair) if in_order else pair:
                await save(transaction, key)
                await asyncio.sleep(dice.random() * 0.003)
    done.set()
    await asyncio.gather(*writers)


@held_up_on_sqlite
async def test_transactions_that_hold_every_connection_do_not_wait_for_the_writes_beside_them(url: str) -> None:
    async with storage_with(url, pool_size=2, max_overflow=1) as storage, asyncio.timeout(20):
        opened, go = asyncio.Semaphore(0), asyncio.Event()

        async def transaction(key: str) -> None:
            async with storage.transaction() as transaction:
                await transaction.load_daemons()
                opened.release()
                await go.wait()
                await save(transaction, key, "in a transaction")

        transactions = start(*(transaction(str(number)) for number in range(3)))
        for _ in transactions:
            await opened.acquire()
        writes = start(*(save(storage, str(number), "beside") for number in range(8)))
        await asyncio.wait(writes[1:])  # the first is alone and needs a connection of the pool, the others do not
        go.set()
        await asyncio.gather(*transactions, *writes)


@held_up_on_sqlite
@no_brief_lock_wait
async def test_the_writers_of_a_locked_row_take_no_room_and_no_time_from_others(engine: AsyncEngine) -> None:
    storage, elsewhere = SqlRepository(engine), SqlRepository(engine)
    storage.group_commit.queue.blocked_capacity.max_rows = 10
    async with asyncio.timeout(60), elsewhere.transaction() as holder:
        await save(holder, "locked")
        waiting = start(*(save(storage, "locked", str(number)) for number in range(50)))
        for turn in range(20):
            await asyncio.gather(*(save(storage, f"{turn} {number}") for number in range(20)))
            assert storage.group_commit.queue.blocked_capacity.rows <= 10
        assert not any(call.done() for call in waiting)
    await asyncio.gather(*waiting)
    assert await value_of(storage, "locked") == "49"


@held_up_on_sqlite
@pytest.mark.parametrize("group_commit", [True, False])
async def test_a_call_that_times_out_says_what_it_waited_for(engine: AsyncEngine, *, group_commit: bool) -> None:
    storage, elsewhere = SqlRepository(engine, group_commit=group_commit), SqlRepository(engine)
    async with asyncio.timeout(60), elsewhere.transaction() as holder:
        await save(holder, "locked")
        [first] = start(save(storage, "locked"))
        await asyncio.sleep(0)
        with operation_timeout(0.2):
            with pytest.raises(StorageConnectionError, match=r"not done .* for an earlier write of the same row$"):
                await save(storage, "locked")
            if group_commit:
                storage.group_commit.queue.blocked_capacity.max_rows = 1
                [second] = start(save(storage, "locked"))
                await asyncio.sleep(0)
                with pytest.raises(StorageConnectionError, match=r"not done .* for room in the queue$"):
                    await save(storage, "locked")
                await asyncio.gather(second, return_exceptions=True)
    await first
    assert (storage.group_commit.queue.blocked_capacity.rows, storage.group_commit.queue.blocked_capacity.bytes) == (
        0,
        0,
    )


@pytest.mark.parametrize("target", ["postgresql"])
async def test_behind_a_pooler_too_a_batch_does_not_wait_for_a_locked_row(url: str) -> None:
    caches_off = {"statement_cache_size": "0", "prepared_statement_cache_size": "0"}
    pooled = make_url(url).update_query_dict(caches_off).render_as_string(hide_password=False)
    async with storage_with(pooled) as storage, storage_with(url) as elsewhere, asyncio.timeout(60):
        async with elsewhere.transaction() as holder:
            await save(holder, "5")
            calls = start(*(save(storage, str(number)) for number in range(10)))
            await asyncio.wait([call for number, call in enumerate(calls) if number != 5])
            assert not calls[5].done()
        await asyncio.gather(*calls)


@held_up_on_sqlite
@no_brief_lock_wait
async def test_the_writers_of_many_locked_rows_leave_connections_to_others(url: str) -> None:
    async with storage_with(url, pool_size=3, max_overflow=2) as storage, asyncio.timeout(60):
        async with storage.transaction() as holder:
            for number in range(20):
                await save(holder, f"{number:02}")
            waiting = start(*(save(storage, f"{number:02}", "waited") for number in range(20)))
            for _ in range(10):
                assert await storage.load_daemons() == []
                await asyncio.gather(*start(*(save(storage, f"free {number}") for number in range(5))))
            assert not any(call.done() for call in waiting)
        await asyncio.gather(*waiting)
        assert {await value_of(storage, f"{number:02}") for number in range(20)} == {"waited"}


@held_up_on_sqlite
@no_brief_lock_wait
async def test_a_write_goes_on_when_the_one_it_waited_for_has_timed_out(engine: AsyncEngine) -> None:
    storage, elsewhere = SqlRepository(engine), SqlRepository(engine)
    async with asyncio.timeout(60), elsewhere.transaction() as holder:
        await save(holder, "locked")
        [locked] = start(save(storage, "locked"))
        await asyncio.sleep(0)
        with operation_timeout(0.3):
            [both] = start(storage.save_many([sample(SessionRow, scope="s", key=key) for key in ("locked", "free")]))
        await asyncio.sleep(0)
        await save(storage, "free", "later")
        assert isinstance(both.exception(), StorageConnectionError)
        assert not locked.done()
    await locked
    assert await value_of(storage, "free") == "later"


@held_up_on_sqlite
@no_brief_lock_wait
async def test_a_write_that_waits_for_room_behind_a_locked_rows_writers_goes_on_when_it_is_free(
    engine: AsyncEngine,
) -> None:
    storage, elsewhere = SqlRepository(engine), SqlRepository(engine)
    storage.group_commit.queue.blocked_capacity.max_rows = 2
    async with asyncio.timeout(60), elsewhere.transaction() as holder:
        await save(holder, "locked")
        locked = start(*(save(storage, "locked") for _ in range(4)))
        free = start(*(save(storage, "free", str(number)) for number in range(4)))
        await asyncio.gather(*free)
        assert not any(call.done() for call in locked)
    await asyncio.gather(*locked)
    assert await value_of(storage, "free") == "3"


@held_up_on_sqlite
async def test_an_engine_that_its_host_disposes_of_leaves_no_connection_open(url: str) -> None:
    async with storage_with(url) as storage:
        for turn in range(3):
            await asyncio.gather(*(save(storage, f"{turn} {number}") for number in range(50)))
            await storage.engine.dispose()
            gc.collect()  # which warns of a connection that was not closed
        assert len(await storage.load_sessions("s")) == 150


@held_up_on_sqlite
@no_brief_lock_wait
async def test_a_batch_that_meets_a_locked_row_commits_its_other_writes(engine: AsyncEngine) -> None:
    storage, elsewhere = SqlRepository(engine), SqlRepository(engine)
    async with asyncio.timeout(60), elsewhere.transaction() as holder:
        await save(holder, "5")
        calls = start(*(save(storage, str(number % 10), str(number)) for number in range(40)))
        await asyncio.wait([call for number, call in enumerate(calls) if number % 10 != 5])
        assert not any(calls[number].done() for number in range(5, 40, 10))
    await asyncio.gather(*calls)
    assert {key: await value_of(storage, str(key)) for key in range(10)} == {key: str(30 + key) for key in range(10)}


async def test_a_read_beside_a_batch_may_be_what_an_engine_first_connects_for(url: str) -> None:
    for turn in range(12):
        async with storage_with(url) as storage:
            calls = start(*(save(storage, str(number)) for number in range(20)))
            await asyncio.sleep(0)
            calls[0].cancel()  # the one that is alone, and connects first
            await asyncio.sleep(0.0005 * turn)
            await asyncio.gather(*(storage.load_daemons() for _ in range(3)), *calls[1:])


# Wrong use.

OUTSIDE: dict[str, Callable[[SqlRepository], Awaitable[Any]]] = {
    "save": lambda storage: save(storage, "outside"),
    "append": lambda storage: storage.append_event(sample(EventRow)),
    "delete": lambda storage: storage.delete_session("s", "outside"),
    "save_many": lambda storage: storage.save_many([sample(EventRow), sample(CacheRow)]),
    "evict": lambda storage: storage.evict_expired_cache(),
    "transaction": lambda storage: storage.transaction().__aenter__(),
}


@pytest.mark.parametrize("call", OUTSIDE.values(), ids=OUTSIDE)
async def test_a_write_past_the_transaction_of_its_own_task_is_refused_at_once(
    repository: SqlRepository, call: Callable[[SqlRepository], Awaitable[Any]]
) -> None:
    async with repository.transaction() as transaction:
        await save(transaction, "inside")
        with pytest.raises(QueryError, match=r"this task is inside a transaction\(\) of this storage"):
            await call(repository)
        with pytest.raises(QueryError, match=r"this task is inside a transaction\(\) of this storage"):
            await call(repository.for_tenant("default"))
        assert await repository.load_daemons() == []  # a read is not
    assert await value_of(repository, "inside") is not None
    await save(repository, "afterwards")


async def test_a_write_of_another_task_beside_a_transaction_is_not_refused(repository: SqlRepository) -> None:
    async with repository.transaction() as transaction:
        await save(transaction, "inside")
        [outside] = start(save(repository, "outside"))
        await asyncio.sleep(0)
    await outside
    assert await value_of(repository, "outside") is not None


async def test_a_task_factory_that_knows_no_context_is_enough(repository: SqlRepository) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, work: asyncio.Task(work, loop=loop))  # as before 3.11
    try:
        await asyncio.gather(*(save(repository, str(number)) for number in range(9)))
    finally:
        loop.set_task_factory(None)
    assert len(await repository.load_sessions("s")) == 9


# A connection that the server has closed.

END_SESSIONS = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT CONCAT('KILL ', id) FROM information_schema.processlist "
    "WHERE db = DATABASE() AND id <> CONNECTION_ID()",
}


@pytest.mark.not_on("sqlite", "a file has no server")
@pytest.mark.not_on("oracle", "its sessions are ended in another way")
async def test_a_transaction_begins_though_the_server_has_closed_the_idle_connections(url: str) -> None:
    async with storage_with(url) as storage:
        for known in ("before", new_id().hex):
            await asyncio.gather(*(storage.load_daemons() for _ in range(4)))
            await end_sessions(url)
            async with storage.transaction() as transaction:
                await save(transaction, known)
            assert await value_of(storage, known) is not None


async def end_sessions(url: str) -> None:
    """End every other session of a database, as a server does with those that were idle for long."""
    engine = create_engine(url)
    try:
        async with engine.connect() as connection:
            dialect = "postgresql" if engine.dialect.name == "postgresql" else "mysql"
            found = (await connection.execute(text(END_SESSIONS[dialect]))).scalars().all()
            for statement in found if dialect == "mysql" else []:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()
