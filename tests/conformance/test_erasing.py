"""erase_tenant deletes every row of one tenant and no row of another."""

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    EventRow,
    InMemoryBackend,
    QueryError,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageDispatcher,
    TenantMismatchError,
    tenant_scope,
)
from axon_storage.model.ids import first_id
from axon_storage.model.maintenance import DeleteOld
from axon_storage.model.rows import ROW_TYPES
from axon_storage.model.seals import AddSeal, Seal
from axon_storage.sql.tables import pruning
from axon_storage.testing.pruning import NOW
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.erasing import *  # noqa: F403
from axon_storage.testing.suite.erasing import NOTHING, RECORDS, SEALS, fill
from axon_storage.testing.verbs import everything
from tests.conformance.conftest import OTHER_TENANT

pytestmark = pytest.mark.needs_role("app+maintenance", reason="it erases")


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StorageBackend, "prune_rows", 3)


async def test_every_row_of_the_tenant_is_deleted(
    storage: StorageBackend, tenant: str, engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(storage, 7)
    await storage.prune_events(NOW - timedelta(days=1))
    assert tenant in await storage.tenant_ids()
    caplog.set_level(logging.INFO, "axon_storage")
    caplog.clear()
    deleted = {row_type.TABLE: 7 for row_type in ROW_TYPES} | {RECORDS: 1, SEALS: 0}
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


async def test_seals_of_the_audit_log_are_deleted_without_rows(repository: SqlRepository) -> None:
    for tenant, count in (("acme", 101), ("z", 1)):
        for number in range(1, count + 1):
            stored = AddSeal(operation="seal", tenant=tenant, seal=seal(tenant, number))
            assert await repository.execute(stored)
    view = repository.for_tenant("acme")
    assert await view.erase_tenant(dry_run=True) == NOTHING | {SEALS: 101}
    assert await view.erase_tenant() == NOTHING | {SEALS: 101}
    assert await view.erase_tenant() == NOTHING
    assert await repository.for_tenant("z").erase_tenant() == NOTHING | {SEALS: 1}


def seal(tenant: str, number: int) -> Seal:
    return Seal(
        tenant=tenant,
        number=number,
        first_id=UUID(int=0),
        end_id=first_id(NOW),
        entries=0,
        pruned_before=None,
        sealed_at=NOW,
        previous_hash="",
        digests_hash="",
        seal_hash="",
        digests="",
    )


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
    await fill(storage, 2)
    with tenant_scope(tenant):
        assert (await StorageDispatcher(repository).erase_tenant())["sessions"] == 2
    assert await everything(storage) == []


async def test_rows_of_a_late_writer_are_deleted_by_a_further_pass(
    repository: SqlRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(repository, 4)
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
    await fill(repository, 1)
    execute = repository.execute

    async def write_always(request: Any) -> Any:
        if isinstance(request, DeleteOld):
            await SqlRepository(repository.engine).append_event(sample(EventRow))
        return await execute(request)

    monkeypatch.setattr(repository, "execute", write_always)
    with pytest.raises(QueryError, match="still gets new rows") as refused:
        await repository.for_tenant("default").erase_tenant()
    assert refused.value.transient


async def test_a_transaction_refuses_to_erase(repository: SqlRepository) -> None:
    for storage in (repository, InMemoryBackend()):
        async with storage.transaction() as transaction:
            with pytest.raises(QueryError, match="call it on the storage"):
                await transaction.for_tenant("default").erase_tenant()
