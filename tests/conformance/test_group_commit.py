"""Group commit: writes that wait at the same moment go together, and no caller can tell but by the time it takes."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    CacheRow,
    DaemonRow,
    EventRow,
    QueryError,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageConnectionError,
    TraceRow,
    create_engine,
    new_id,
    operation_timeout,
)
from tests.samples import sample

CALLS = 64

held_up_on_sqlite = pytest.mark.not_on("sqlite", "a transaction that writes holds up every other")


@contextmanager
def statements(engine: AsyncEngine) -> Iterator[list["asyncio.Task[Any] | None"]]:
    """The task of each statement that is run inside."""
    seen: list[asyncio.Task[Any] | None] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        # SQLite's BEGIN is a statement, and so is what makes a new connection of group commits wait briefly
        if not statement.startswith(("BEGIN", "SET")):
            seen.append(asyncio.current_task())

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


async def sources(repository: SqlRepository) -> list[str]:
    return sorted(row.source for row in await repository.query_events(None, 99_999))


def appends(repository: SqlRepository, names: Sequence[object]) -> list["asyncio.Task[Any]"]:
    return [asyncio.create_task(repository.append_event(sample(EventRow, source=str(name)))) for name in names]


async def test_writes_that_wait_at_the_same_moment_go_together(repository: SqlRepository, engine: AsyncEngine) -> None:
    with statements(engine) as seen:
        await asyncio.gather(*appends(repository, range(CALLS)))
    assert len(seen) <= CALLS / 8  # the first at once, the others after it, in halves
    assert await sources(repository) == sorted(map(str, range(CALLS)))


async def test_without_it_each_write_has_a_transaction_of_its_own(engine: AsyncEngine) -> None:
    repository = SqlRepository(engine, group_commit=False)
    with statements(engine) as seen:
        await asyncio.gather(*appends(repository, range(8)))
    assert len(seen) == 8
    assert len(await sources(repository)) == 8


async def test_a_lone_write_goes_at_once_in_its_callers_own_task(
    repository: SqlRepository, engine: AsyncEngine
) -> None:
    with statements(engine) as seen:
        await repository.save_session(sample(SessionRow))
        await repository.append_event(sample(EventRow))
        await repository.delete_session("name", "name")
    assert set(seen) == {asyncio.current_task()}


async def test_a_write_that_returns_has_committed(repository: SqlRepository, engine: AsyncEngine) -> None:
    elsewhere = SqlRepository(engine, group_commit=False)

    async def write(number: int) -> None:
        row = sample(SessionRow, scope=str(number % 5), key=str(number))
        await repository.save_session(row)
        assert await elsewhere.get_session(row.scope, row.key) == row
        await repository.delete_session(row.scope, row.key)
        assert await elsewhere.get_session(row.scope, row.key) is None

    await asyncio.gather(*(write(number) for number in range(CALLS)))


async def test_each_caller_learns_its_own_answer(repository: SqlRepository) -> None:
    await repository.save_many(sample(TraceRow, trace_id=number) for number in range(60))
    ids = [new_id() for _ in range(10)]
    answers = await asyncio.gather(
        *(repository.append_event(sample(EventRow), id=id) for id in ids),  # noqa: A001  # the contract's name
        *(repository.delete_traces(range(number * 10, number * 10 + number)) for number in range(6)),
        repository.delete_traces([0, 1, 11, 999]),
        repository.delete_session("no such", "entry"),
    )
    assert answers == [*ids, 0, 1, 2, 3, 4, 5, 3, False]


async def test_writes_of_one_row_keep_their_order(repository: SqlRepository) -> None:
    async def write(turn: int) -> bool | None:
        if turn % 5 == 3:
            return await repository.delete_daemon("name")
        await repository.save_daemon(sample(DaemonRow, state=str(turn)))
        return None

    for last in (12, 13, 14):
        answers = await asyncio.gather(*(write(turn) for turn in range(last)))
        assert {answer for answer in answers if answer is not None} == {True}
        assert [daemon.state for daemon in await repository.load_daemons()] == ([str(last - 1)] if last != 14 else [])


async def test_a_row_saved_several_times_stays_where_its_first_save_put_it(repository: SqlRepository) -> None:
    order = [1, 5, 3, 5, 1, 2, 4, 3]
    await asyncio.gather(*(repository.save_trace(sample(TraceRow, trace_id=number)) for number in order))
    assert [trace.trace_id for trace in await repository.load_traces(9)] == [4, 2, 3, 5, 1]


async def test_an_append_that_is_there_already_stays_as_it_is(repository: SqlRepository) -> None:
    known = new_id()
    calls = [repository.append_audit(sample(AuditRow, actor=str(number)), id=known) for number in range(9)]
    assert set(await asyncio.gather(*calls)) == {known}
    assert [entry.actor for entry in await repository.query_audit(9)] == ["0"]


async def test_rows_of_several_tenants_go_together_and_stay_apart(
    repository: SqlRepository, engine: AsyncEngine, target: str
) -> None:
    tenants = [f"tenant {number}" for number in range(9)]
    with statements(engine) as seen:
        await asyncio.gather(
            *(repository.for_tenant(name).save_session(sample(SessionRow, name, value=name)) for name in tenants)
        )
    assert len(seen) == (3 if target.startswith("oracle") else 2)  # which locks the rows first
    for name in tenants:
        assert [entry.value for entry in await repository.for_tenant(name).load_sessions("name")] == [name]


REFUSE = {
    "sqlite": "CREATE TRIGGER refusing BEFORE INSERT ON event_history WHEN NEW.source = 'bad' "
    "BEGIN SELECT RAISE(ABORT, 'refused'); END",
}
ALLOW = {"sqlite": "DROP TRIGGER refusing"}
ADD = "ALTER TABLE event_history ADD CONSTRAINT refusing CHECK (source <> 'bad')"
DROP = "ALTER TABLE event_history DROP CONSTRAINT refusing"


async def test_a_row_that_the_database_refuses_fails_alone(
    repository: SqlRepository, engine: AsyncEngine, target: str
) -> None:
    names = ["bad" if number in {0, 17, 40, 41} else str(number) for number in range(CALLS)]
    async with engine.begin() as connection:
        await connection.execute(text(REFUSE.get(target, ADD)))
    try:
        outcomes = await asyncio.gather(*appends(repository, names), return_exceptions=True)
    finally:
        async with engine.begin() as connection:
            await connection.execute(text(ALLOW.get(target, DROP)))
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [name for name, outcome in zip(names, outcomes, strict=True) if outcome in refused] == ["bad"] * 4
    assert all(type(error) is QueryError and error.operation == "append_event" for error in refused)
    assert len(set(map(id, refused))) == 4
    assert all(error.__cause__ is not None for error in refused)
    assert await sources(repository) == sorted(name for name in names if name != "bad")


async def test_callers_that_give_up_harm_no_neighbour(repository: SqlRepository, engine: AsyncEngine) -> None:
    calls = appends(repository, range(CALLS))
    await asyncio.sleep(0)
    for call in calls[1::2]:
        call.cancel()
    with statements(engine) as seen:
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[1::2])
    assert await sources(repository) == sorted(map(str, range(0, CALLS, 2)))  # they were forgotten in the queue
    assert len(seen) <= 3
    assert (repository.group_commit.queue.ready_capacity.rows, repository.group_commit.queue.ready_capacity.bytes) == (
        0,
        0,
    )


async def test_closing_lets_every_write_that_was_taken_end(url: str, engine: AsyncEngine) -> None:
    repository = SqlRepository(create_engine(url))
    calls = appends(repository, range(CALLS))
    await asyncio.sleep(0)
    await repository.close()
    assert all(call.done() for call in calls)
    await asyncio.gather(*calls)
    with pytest.raises(StorageConnectionError, match="closed"):
        await repository.append_event(sample(EventRow))
    assert len(await sources(SqlRepository(engine))) == CALLS


async def test_callers_wait_for_room_in_a_full_queue(repository: SqlRepository) -> None:
    queue, fullest = repository.group_commit.queue.ready_capacity, 0
    queue.max_rows = 10
    calls = appends(repository, range(CALLS))
    while not all(call.done() for call in calls):
        fullest = max(fullest, queue.rows)
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert fullest == 10
    assert await sources(repository) == sorted(map(str, range(CALLS)))


async def test_callers_that_give_up_their_wait_for_room_leave_it_to_the_others(repository: SqlRepository) -> None:
    repository.group_commit.queue.ready_capacity.max_rows = 4
    calls = appends(repository, range(CALLS))
    await asyncio.sleep(0)
    for call in calls[10::2]:
        call.cancel()
    await asyncio.wait(calls)
    assert await sources(repository) == sorted(map(str, [*range(10), *range(11, CALLS, 2)]))


@held_up_on_sqlite
async def test_a_transaction_that_holds_a_row_holds_up_the_writes_of_that_row_alone(repository: SqlRepository) -> None:
    async with asyncio.timeout(30), repository.transaction() as block:
        await block.save_session(sample(SessionRow, value="block"))
        held = asyncio.create_task(repository.save_session(sample(SessionRow, value="after")))
        also = asyncio.create_task(repository.save_session(sample(SessionRow, value="last")))
        for number in range(20):  # were they held up, the block would never end
            await asyncio.create_task(repository.append_event(sample(EventRow, source=str(number))))
            await asyncio.create_task(repository.save_session(sample(SessionRow, key=str(number))))
        assert not held.done()
        assert not also.done()
    await asyncio.gather(held, also)
    entry = await repository.get_session("name", "name")
    assert entry is not None
    assert entry.value == "last"


@held_up_on_sqlite
@pytest.mark.parametrize(
    "how",
    [
        "evicts",
        pytest.param(
            "appends",
            marks=pytest.mark.not_on(
                "oracle", "a row that is not committed cannot be locked, so the batch waits for it"
            ),
        ),
    ],
)
async def test_a_row_that_a_block_holds_without_a_save_is_waited_for_alone_too(
    repository: SqlRepository, how: str
) -> None:
    known, cached = new_id(), sample(CacheRow, ttl_secs=0)
    await repository.save_cache_entry(cached)
    async with asyncio.timeout(30), repository.transaction() as block:
        if how == "evicts":
            assert await block.evict_expired_cache() == 1
        else:
            await block.append_event(sample(EventRow), id=known)
        calls = appends(repository, range(2))
        await asyncio.sleep(0)
        held: asyncio.Task[Any] = asyncio.create_task(
            repository.save_cache_entry(cached)
            if how == "evicts"
            else repository.append_event(sample(EventRow), id=known)
        )
        calls += appends(repository, range(2, 9))
        await asyncio.gather(*calls)
        assert not held.done()
    await held


@held_up_on_sqlite
async def test_a_block_does_not_come_between_the_rows_of_a_group_that_is_on_its_way(
    repository: SqlRepository, engine: AsyncEngine
) -> None:
    elsewhere = SqlRepository(engine)
    await repository.save_trace(sample(TraceRow))
    async with asyncio.timeout(30):
        async with elsewhere.transaction() as holder:  # as another process might
            await holder.save_trace(sample(TraceRow))
            first = asyncio.create_task(repository.append_audit(sample(AuditRow)))
            await asyncio.sleep(0)
            together = [
                asyncio.create_task(repository.save_trace(sample(TraceRow))),  # its table is written first
                asyncio.create_task(repository.save_session(sample(SessionRow))),
                *appends(repository, range(3)),
            ]
            await first
            await asyncio.sleep(0.3)
            block = asyncio.create_task(_saves_and_waits_for(repository, together[-1]))
            await asyncio.sleep(0.3)
        await asyncio.gather(block, *together)


async def _saves_and_waits_for(repository: SqlRepository, other: "asyncio.Task[Any]") -> None:
    async with repository.transaction() as block:
        await block.save_session(sample(SessionRow))
        await other


@held_up_on_sqlite
async def test_two_writes_that_wait_for_one_locked_row_cost_nothing(repository: SqlRepository) -> None:
    async with asyncio.timeout(30), repository.transaction() as block:
        await block.save_session(sample(SessionRow))
        calls = [asyncio.create_task(repository.save_session(sample(SessionRow))) for _ in range(3)]
        await asyncio.sleep(0.5)
        assert repository.group_commit.batches_started < 20
    await asyncio.gather(*calls)


@held_up_on_sqlite
async def test_a_caller_that_gave_up_keeps_nobody_back(repository: SqlRepository) -> None:
    async with asyncio.timeout(30), repository.transaction() as block:
        await block.save_session(sample(SessionRow, key="held"))
        held = asyncio.create_task(repository.save_session(sample(SessionRow, key="held")))
        await asyncio.sleep(0)
        both = asyncio.create_task(repository.save_many([sample(SessionRow, key=key) for key in ("held", "free")]))
        await asyncio.sleep(0.3)
        both.cancel()
        await asyncio.wait({both})
        await asyncio.create_task(repository.save_session(sample(SessionRow, key="free")))
        assert not held.done()
    await held


@held_up_on_sqlite
async def test_a_longer_time_out_of_a_call_is_its_own_too(engine: AsyncEngine) -> None:
    repository, elsewhere = SqlRepository(engine, operation_timeout=0.5), SqlRepository(engine)
    async with asyncio.timeout(30), elsewhere.transaction() as holder:
        await holder.save_session(sample(SessionRow))
        first = appends(repository, ["goes alone"])
        await asyncio.sleep(0)
        with operation_timeout(20):
            call = asyncio.create_task(repository.save_session(sample(SessionRow)))
        await asyncio.gather(*first)
        await asyncio.sleep(2.5)
        assert not call.done()
    await call


@pytest.mark.parametrize("callers_too", [True, False])
async def test_a_storage_whose_tasks_were_cancelled_leaves_nobody_waiting_goes_on_and_closes(
    url: str, callers_too: bool
) -> None:
    repository = SqlRepository(create_engine(url))
    async with asyncio.timeout(40):
        for steps in range(20):
            calls = appends(repository, range(CALLS))
            for _ in range(1 + steps % 5):
                await asyncio.sleep(0)
            while not repository.group_commit.in_flight and not all(call.done() for call in calls):  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0)
            for task in [*repository.group_commit.in_flight, *(calls if callers_too else [])]:
                task.cancel()
            await asyncio.wait(calls)
        await asyncio.gather(*appends(repository, range(CALLS)))
        await repository.close()


async def test_an_error_that_is_not_ours_is_told_to_every_caller(engine: AsyncEngine) -> None:
    class Refused(Exception):  # noqa: N818  # a host's
        def __init__(self, *, why: str) -> None:
            super().__init__(why)

    def refuse(*_: object) -> None:
        raise Refused(why="a host's hook")

    repository = SqlRepository(engine)
    event.listen(engine.sync_engine, "before_cursor_execute", refuse)
    try:
        outcomes = await asyncio.gather(*appends(repository, range(9)), return_exceptions=True)
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", refuse)
    assert [type(outcome) for outcome in outcomes] == [Refused] * 9


@held_up_on_sqlite
async def test_the_time_out_of_one_call_is_not_its_neighbours(repository: SqlRepository) -> None:
    async with asyncio.timeout(30), repository.transaction() as block:
        await block.save_session(sample(SessionRow, value="block"))
        held = asyncio.create_task(repository.save_session(sample(SessionRow, value="held")))
        await asyncio.sleep(0)
        with (
            operation_timeout(0.3),
            pytest.raises(StorageConnectionError, match=r"save_session: not done within 0\.3 s"),
        ):
            await asyncio.create_task(repository.save_session(sample(SessionRow, value="gave up")))
        assert not held.done()
    await held
    entry = await repository.get_session("name", "name")
    assert entry is not None
    assert entry.value == "held"


@pytest.mark.parametrize("target", ["postgresql"])
async def test_the_example_in_the_documentation(repository: SqlRepository, engine: AsyncEngine) -> None:
    def save(storage: StorageBackend, key: str, value: str) -> Coroutine[Any, Any, None]:
        return storage.save_session(sample(SessionRow, key=key, value=value))

    async with asyncio.timeout(30), SqlRepository(engine).transaction() as holder:
        await save(holder, "B", "0")
        calls = [
            *appends(repository, ["W0"]),
            asyncio.create_task(save(repository, "A", "1")),
            asyncio.create_task(save(repository, "B", "1")),
            asyncio.create_task(save(repository, "A", "2")),
            asyncio.create_task(repository.delete_session("name", "A")),
            asyncio.create_task(save(repository, "A", "3")),
        ]
        await asyncio.wait(set(calls) - {calls[2]})
        assert not calls[2].done()
        assert calls[4].result() is True
        assert repository.group_commit.batches_started == 3
        assert [batch.single for batch in repository.group_commit.in_flight.values()] == [True]
    await asyncio.gather(*calls)
    assert [(entry.key, entry.value) for entry in await repository.load_sessions("name")] == [("A", "3"), ("B", "1")]
