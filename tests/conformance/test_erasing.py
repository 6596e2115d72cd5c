"""erase_tenant deletes every row of one tenant and no row of another."""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    EventRow,
    InMemoryBackend,
    InvalidArgumentError,
    QueryError,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageDispatcher,
    TenantMismatchError,
    tenant_scope,
)
from axon_storage.model.maintenance import DeleteOld
from axon_storage.model.rows import ROW_TYPES
from axon_storage.sql.tables import pruning
from tests.conformance.conftest import OTHER_TENANT, everything
from tests.pruning import NOW, id_at, key_fields
from tests.samples import sample

RECORDS = "axon_storage_pruning"
NOTHING = {row_type.TABLE: 0 for row_type in ROW_TYPES} | {RECORDS: 0}


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StorageBackend, "prune_rows", 3)


async def _fill(storage: StorageBackend, count: int) -> None:
    tenant = storage.current_tenant()
    for row_type in ROW_TYPES:
        await storage.save_many([sample(row_type, tenant, **key_fields(row_type, number)) for number in range(count)])


async def test_every_row_of_the_tenant_is_deleted(
    storage: StorageBackend, tenant: str, engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await _fill(storage, 7)
    await storage.prune_events(NOW - timedelta(days=1))
    assert tenant in await storage.tenant_ids()
    caplog.set_level(logging.INFO, "axon_storage")
    caplog.clear()
    deleted = {row_type.TABLE: 7 for row_type in ROW_TYPES} | {RECORDS: 1}
    assert await storage.for_tenant(tenant).erase_tenant() == deleted
    assert await everything(storage) == []
    assert await storage.tenant_ids() == [OTHER_TENANT]
    async with engine.connect() as connection:
        assert (await connection.execute(select(pruning.c.table_name))).all() == []
    begins, ends = [record.getMessage() for record in caplog.records]
    assert "begins" in begins
    assert "'event_history': 7" in ends
    assert tenant == "default" or tenant not in begins + ends
    assert await storage.for_tenant(tenant).erase_tenant() == NOTHING


async def test_a_dry_run_counts_and_deletes_nothing(storage: StorageBackend, tenant: str) -> None:
    view = storage.for_tenant(tenant)
    assert await view.erase_tenant(dry_run=True) == NOTHING
    await _fill(storage, 4)
    await storage.prune_events(NOW - timedelta(days=1))
    found = dict.fromkeys(NOTHING, 4) | {RECORDS: 1}
    assert await view.erase_tenant(dry_run=True) == found
    assert await view.erase_tenant(dry_run=True) == found
    assert await view.erase_tenant() == found
    with pytest.raises(InvalidArgumentError, match="erase_tenant: dry_run must be True or False"):
        await view.erase_tenant(dry_run="no")  # type: ignore[arg-type]


async def test_records_about_prune_runs_are_deleted_without_rows(storage: StorageBackend, tenant: str) -> None:
    await storage.prune_events(NOW)
    await storage.prune_audit(NOW)
    assert tenant not in await storage.tenant_ids()
    view = storage.for_tenant(tenant)
    assert await view.erase_tenant() == NOTHING | {RECORDS: 2}
    assert await view.erase_tenant(dry_run=True) == NOTHING


async def test_rows_outside_the_usual_are_deleted(storage: StorageBackend, tenant: str) -> None:
    view = storage.for_tenant(tenant)
    for row_type in ROW_TYPES:
        for text in ("", "\x01", "a", "a ", "é", "😀" * 255):
            if row_type.KEY and row_type.TABLE != "traces":
                keys = dict.fromkeys(row_type.KEY, text)
                await view.save_many([sample(row_type, tenant, **keys)])
    await view.save_many([sample(ROW_TYPES[0], tenant, trace_id=number) for number in (0, 2**63 - 1, 2**63, 2**64 - 1)])
    counts = await view.erase_tenant()
    assert counts["traces"] == 4
    assert counts["sessions"] == counts["schedules"] == counts["execution_cache"] == 6
    assert await everything(storage) == []


async def test_the_default_tenant_must_be_named(repository: SqlRepository) -> None:
    memory = InMemoryBackend()
    for storage in (repository, StorageDispatcher(repository), memory, StorageDispatcher(memory)):
        with pytest.raises(TenantMismatchError, match="erase_tenant: no tenant"):
            await storage.erase_tenant()
        with tenant_scope("default"):
            assert await storage.erase_tenant() == NOTHING
        assert await storage.for_tenant("default").erase_tenant() == NOTHING
        with tenant_scope("acme"):
            assert await storage.erase_tenant() == NOTHING
    assert await StorageDispatcher(repository.for_tenant("acme")).erase_tenant() == NOTHING


async def test_the_tenant_of_a_scope_is_erased(storage: StorageBackend, tenant: str, repository: SqlRepository) -> None:
    await _fill(storage, 2)
    with tenant_scope(tenant):
        assert (await StorageDispatcher(repository).erase_tenant())["sessions"] == 2
    assert await everything(storage) == []


async def test_rows_of_a_late_writer_are_deleted_by_a_further_pass(
    repository: SqlRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fill(repository, 4)
    execute, late = repository.execute, 2

    async def write_late(request: Any) -> Any:
        nonlocal late
        if isinstance(request, DeleteOld) and request.row_type is EventRow and late:
            late -= 1
            await SqlRepository(repository.engine).save_session(sample(SessionRow, key=f"late {late}"))
        return await execute(request)

    monkeypatch.setattr(repository, "execute", write_late)
    assert (await repository.for_tenant("default").erase_tenant())["sessions"] == 6
    assert await repository.tenant_ids() == []


async def test_writers_that_do_not_stop_are_reported(
    repository: SqlRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _fill(repository, 1)
    execute = repository.execute

    async def write_always(request: Any) -> Any:
        if isinstance(request, DeleteOld):
            await SqlRepository(repository.engine).append_event(sample(EventRow))
        return await execute(request)

    monkeypatch.setattr(repository, "execute", write_always)
    with pytest.raises(QueryError, match="still gets new rows") as refused:
        await repository.for_tenant("default").erase_tenant()
    assert refused.value.transient


async def test_two_runs_at_once_delete_each_row_once(storage: StorageBackend, tenant: str) -> None:
    await _fill(storage, 20)
    view = storage.for_tenant(tenant)
    counts = await asyncio.gather(view.erase_tenant(), view.erase_tenant())
    assert {name: sum(count[name] for count in counts) for name in NOTHING} == dict.fromkeys(NOTHING, 20) | {RECORDS: 0}
    assert await everything(storage) == []


async def test_an_interrupted_run_is_completed_by_the_next(storage: StorageBackend, tenant: str) -> None:
    await _fill(storage, 30)
    view = storage.for_tenant(tenant)
    run = asyncio.create_task(view.erase_tenant())
    while len(await storage.load_traces(30)) == 30:  # noqa: ASYNC110  # counts
        await asyncio.sleep(0.001)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await view.erase_tenant()
    assert await everything(storage) == []


async def test_a_write_after_the_run_brings_the_tenant_back_and_old_ids_are_accepted_again(
    storage: StorageBackend, tenant: str
) -> None:
    old = id_at(NOW - timedelta(days=9))
    await storage.prune_events(NOW)
    await storage.for_tenant(tenant).erase_tenant()
    await storage.append_event(sample(EventRow, tenant), id=old)
    assert tenant in await storage.tenant_ids()


async def test_a_transaction_refuses_to_erase(repository: SqlRepository) -> None:
    for storage in (repository, InMemoryBackend()):
        async with storage.transaction() as transaction:
            with pytest.raises(QueryError, match="call it on the storage"):
                await transaction.for_tenant("default").erase_tenant()
