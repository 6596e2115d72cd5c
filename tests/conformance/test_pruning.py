"""Prune methods delete the old rows of their tenant, in bounded transactions that can be interrupted."""

import asyncio
import logging
from typing import Any

import pytest
from sqlalchemy import func, null, select
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    EventRow,
    QueryError,
    Row,
    SessionRow,
    SqlRepository,
    StorageBackend,
    TraceRow,
    create_engine,
)
from axon_storage.model.maintenance import DeleteOld, ListOld
from axon_storage.sql.tables import TABLES, UPDATED_AT
from axon_storage.testing.pruning import BEFORE, DAY, LAST_SAVED, NOW, OLD, fill, key_fields, prune
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.pruning import *  # noqa: F403
from axon_storage.testing.verbs import load, store
from tests.pruning import clock_at, set_age

pytestmark = pytest.mark.needs_role("app+maintenance", reason="it prunes")


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StorageBackend, "prune_rows", 5)


def page_after(row_type: type[Row], after: Any = None, tenant: str = "default") -> ListOld:
    return ListOld(operation="t", tenant=tenant, row_type=row_type, where={}, before=BEFORE, after=after, limit=5)


def delete_of(row_type: type[Row], keys: Any, unknown: Any = (), tenant: str = "default") -> DeleteOld:
    return DeleteOld(
        operation="t", tenant=tenant, row_type=row_type, keys=keys, unknown=unknown, before=BEFORE, holder=None
    )


@pytest.mark.parametrize("row_type", LAST_SAVED, ids=lambda row_type: row_type.TABLE)
async def test_old_rows_are_deleted_and_the_others_stay(
    storage: StorageBackend, past: StorageBackend, row_type: type[Row]
) -> None:
    await fill(past, row_type, range(13))
    await fill(storage, row_type, range(100, 103))
    recent = await load(storage, row_type)
    assert len(recent) == 16
    assert await prune(storage, row_type, BEFORE, dry_run=True) == 13
    assert len(await load(storage, row_type)) == 16
    assert await prune(storage, row_type, BEFORE) == 13
    assert sorted(map(str, await load(storage, row_type))) == sorted(
        str(sample(row_type, storage.current_tenant(), **key_fields(row_type, number))) for number in range(100, 103)
    )
    assert await prune(storage, row_type, BEFORE) == 0


async def test_one_scope_is_pruned(storage: StorageBackend, past: StorageBackend) -> None:
    for scope in ("a", "b", "c"):
        await past.save_many(sample(SessionRow, past.current_tenant(), scope=scope, key=f"{key}") for key in range(7))
    assert await storage.prune_sessions(BEFORE, scope="b", dry_run=True) == 7
    assert await storage.prune_sessions(BEFORE, scope="b") == 7
    assert await storage.session_scopes() == ["a", "c"]


@pytest.mark.parametrize("row_type", [EventRow, SessionRow])
async def test_no_transaction_deletes_more_than_the_limit(
    repository: SqlRepository, engine: AsyncEngine, row_type: type[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(SqlRepository(engine, clock=clock_at(OLD)), row_type, range(12))
    table, left = TABLES[row_type], []
    reader = SqlRepository(create_engine(engine.url))
    execute = repository.execute

    async def count_after(request: Any) -> Any:
        result = await execute(request)
        if isinstance(request, DeleteOld):
            async with reader.engine.connect() as connection:
                left.append((await connection.execute(select(func.count()).select_from(table))).scalar_one())
        return result

    monkeypatch.setattr(repository, "execute", count_after)
    assert await prune(repository, row_type, BEFORE) == 12
    assert left == [7, 2, 0]
    await reader.close()


async def test_a_cut_run_has_deleted_the_oldest_rows(
    repository: SqlRepository, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = SqlRepository(engine, clock=clock_at(OLD))
    for number in range(12):
        await past.append_event(sample(EventRow, source=f"{number}"))
    execute, deletes = repository.execute, 0

    async def fail_at_the_second(request: Any) -> Any:
        nonlocal deletes
        deletes += isinstance(request, DeleteOld)
        if deletes == 2:
            raise QueryError("cut off")
        return await execute(request)

    monkeypatch.setattr(repository, "execute", fail_at_the_second)
    with pytest.raises(QueryError, match="cut off"):
        await repository.prune_events(BEFORE)
    assert [event.source for event in await past.query_events(None, 20)] == [str(number) for number in range(11, 4, -1)]


@pytest.mark.parametrize("row_type", LAST_SAVED, ids=lambda row_type: row_type.TABLE)
async def test_a_row_that_is_saved_meanwhile_stays(
    storage: StorageBackend, past: StorageBackend, row_type: type[Row]
) -> None:
    await fill(past, row_type, range(4))
    tenant = storage.current_tenant()
    page = await storage.execute(page_after(row_type, None, tenant=tenant))
    assert len(page.keys) == 4
    await fill(storage, row_type, range(2, 3))
    delete = delete_of(row_type, page.keys, [], tenant=tenant)
    assert await storage.execute(delete) == 3
    assert len(await load(storage, row_type)) == 1


@pytest.mark.parametrize("row_type", [SessionRow, TraceRow])
async def test_rows_that_are_saved_during_a_run_stay(
    repository: SqlRepository, engine: AsyncEngine, row_type: type[Row]
) -> None:
    count = 60
    await fill(SqlRepository(engine, clock=clock_at(OLD)), row_type, range(count))

    async def save(number: int) -> None:
        if row_type is TraceRow:  # a trace keeps the time of its first save, so it is deleted first
            await repository.delete_traces([number])
        await store(repository, sample(row_type, **key_fields(row_type, number)))

    pruning = asyncio.create_task(prune(repository, row_type, BEFORE))
    await asyncio.gather(*(save(number) for number in range(0, count, 2)))
    await pruning
    assert await prune(repository, row_type, BEFORE) == 0
    assert len(await load(repository, row_type)) == count // 2


@pytest.mark.parametrize("row_type", LAST_SAVED, ids=lambda row_type: row_type.TABLE)
async def test_rows_of_unknown_age_count_as_saved_when_a_run_meets_them(
    repository: SqlRepository, engine: AsyncEngine, row_type: type[Row], caplog: pytest.LogCaptureFixture
) -> None:
    await fill(repository, row_type, range(7))
    await set_age(engine, row_type, null())
    caplog.set_level(logging.INFO, "axon_storage")
    assert await prune(repository, row_type, NOW + DAY, dry_run=True) == 0
    assert not caplog.records
    assert await prune(repository, row_type, BEFORE) == 0
    [record] = [record for record in caplog.records if "without a time" in record.getMessage()]
    assert "7 rows" in record.getMessage()
    assert await prune(repository, row_type, BEFORE) == 0
    assert len(await load(repository, row_type)) == 7
    later = SqlRepository(engine, clock=clock_at(NOW + 3 * DAY))
    assert await prune(later, row_type, NOW + DAY) == 7


async def test_a_save_wins_over_the_run_that_meets_a_row_of_unknown_age(
    repository: SqlRepository, engine: AsyncEngine
) -> None:
    await fill(repository, SessionRow, range(2))
    await set_age(engine, SessionRow, null())
    page = await repository.execute(page_after(SessionRow, None))
    assert len(page.unknown) == 2
    saved = NOW + 5 * DAY
    await fill(SqlRepository(engine, clock=clock_at(saved)), SessionRow, range(1))
    await repository.execute(delete_of(SessionRow, [], page.unknown))
    table = TABLES[SessionRow]
    async with engine.connect() as connection:
        times = (await connection.execute(select(table.c[UPDATED_AT]).order_by(table.c.key))).scalars().all()
    assert times[0] >= saved
    assert NOW <= times[1] < saved


async def test_two_runs_without_a_lease_delete_each_row_once(repository: SqlRepository, engine: AsyncEngine) -> None:
    past = SqlRepository(engine, clock=clock_at(OLD))
    for row_type in (EventRow, SessionRow, TraceRow):
        await fill(past, row_type, range(40))

        async def run(row_type: type[Row] = row_type) -> int:
            deleted, after = 0, None
            while True:
                page = await repository.execute(page_after(row_type, after))
                found = await repository.execute(delete_of(row_type, page.keys))
                assert found is not None
                deleted += found
                if (after := page.after) is None:
                    return deleted

        assert sum(await asyncio.gather(run(), run(), run())) == 40
        assert await load(repository, row_type) == []
