"""Group commit: concurrent writes share a batch; each caller gets the result it would get alone."""

import asyncio

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import EventRow, QueryError, SessionRow, SqlRepository
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.order_of_writes import *  # noqa: F403
from tests.conformance.concurrent_writes import CALLS, appends, refusing, sources, tasks_of_statements


async def test_writes_that_wait_at_the_same_time_share_batches(repository: SqlRepository, engine: AsyncEngine) -> None:
    with tasks_of_statements(engine) as tasks:
        await asyncio.gather(*appends(repository, range(CALLS)))
    assert len(tasks) <= CALLS / 8  # the first write alone, then batches of half of the waiting writes
    assert await sources(repository) == sorted(map(str, range(CALLS)))


async def test_without_group_commit_each_write_has_a_transaction_of_its_own(engine: AsyncEngine) -> None:
    repository = SqlRepository(engine, group_commit=False)
    with tasks_of_statements(engine) as tasks:
        await asyncio.gather(*appends(repository, range(8)))
    assert len(tasks) == 8
    assert len(await sources(repository)) == 8


async def test_a_lone_write_is_sent_at_once_in_its_callers_task(repository: SqlRepository, engine: AsyncEngine) -> None:
    with tasks_of_statements(engine) as tasks:
        await repository.save_session(sample(SessionRow))
        await repository.append_event(sample(EventRow))
        await repository.delete_session("name", "name")
    assert set(tasks) == {asyncio.current_task()}


async def test_a_write_that_returns_has_committed(repository: SqlRepository, engine: AsyncEngine) -> None:
    elsewhere = SqlRepository(engine, group_commit=False)

    async def write(number: int) -> None:
        row = sample(SessionRow, scope=str(number % 5), key=str(number))
        await repository.save_session(row)
        assert await elsewhere.get_session(row.scope, row.key) == row
        await repository.delete_session(row.scope, row.key)
        assert await elsewhere.get_session(row.scope, row.key) is None

    await asyncio.gather(*(write(number) for number in range(CALLS)))


@pytest.mark.not_on("citus", "it has a transaction for each shard, and reads the place of each tenant")
async def test_a_batch_may_contain_rows_of_several_tenants(
    repository: SqlRepository, engine: AsyncEngine, target: str
) -> None:
    tenants = [f"tenant {number}" for number in range(9)]
    with tasks_of_statements(engine) as tasks:
        await asyncio.gather(
            *(repository.for_tenant(name).save_session(sample(SessionRow, name, value=name)) for name in tenants)
        )
    assert len(tasks) == (3 if target.startswith("oracle") else 2)  # Oracle locks the rows first
    for name in tenants:
        assert [entry.value for entry in await repository.for_tenant(name).load_sessions("name")] == [name]


@pytest.mark.needs_role("owner", reason="it adds a constraint")
async def test_a_write_that_the_database_refuses_fails_alone(
    repository: SqlRepository, engine: AsyncEngine, target: str
) -> None:
    names = ["bad" if number in {0, 17, 40, 41} else str(number) for number in range(CALLS)]
    async with refusing(engine, target):
        outcomes = await asyncio.gather(*appends(repository, names), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert [name for name, outcome in zip(names, outcomes, strict=True) if outcome in refused] == ["bad"] * 4
    assert all(type(error) is QueryError and error.operation == "append_event" for error in refused)
    assert len(set(map(id, refused))) == 4
    assert all(error.__cause__ is not None for error in refused)
    assert await sources(repository) == sorted(name for name in names if name != "bad")


async def test_an_error_of_the_hosts_hook_is_raised_in_every_caller(engine: AsyncEngine) -> None:
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
