"""erase_tenant deletes every row of one tenant and no row of another."""

import asyncio
from datetime import timedelta

import pytest

from axon_storage import (
    EventRow,
    InvalidArgumentError,
    StorageBackend,
)
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.pruning import NOW, id_at, key_fields
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import everything

RECORDS = "axon_storage_pruning"
SEALS = "axon_storage_audit_seals"
NOTHING = {row_type.TABLE: 0 for row_type in ROW_TYPES} | {RECORDS: 0, SEALS: 0}


async def fill(storage: StorageBackend, count: int) -> None:
    """Store rows of each type."""
    tenant = storage.current_tenant()
    for row_type in ROW_TYPES:
        await storage.save_many([sample(row_type, tenant, **key_fields(row_type, number)) for number in range(count)])


async def test_a_dry_run_counts_and_deletes_nothing(storage: StorageBackend) -> None:
    view = storage.for_tenant(storage.current_tenant())
    view.prune_rows = 3
    assert await view.erase_tenant(dry_run=True) == NOTHING
    await fill(storage, 4)
    await storage.prune_events(NOW - timedelta(days=1))
    found = dict.fromkeys(NOTHING, 4) | {RECORDS: 1, SEALS: 0}
    assert await view.erase_tenant(dry_run=True) == found
    assert await view.erase_tenant(dry_run=True) == found
    assert await view.erase_tenant() == found
    with pytest.raises(InvalidArgumentError, match="erase_tenant: dry_run must be True or False"):
        await view.erase_tenant(dry_run="no")  # type: ignore[arg-type]


async def test_records_about_prune_runs_are_deleted_without_rows(storage: StorageBackend) -> None:
    await storage.prune_events(NOW)
    await storage.prune_audit(NOW)
    tenant = storage.current_tenant()
    assert tenant not in await storage.tenant_ids()
    view = storage.for_tenant(tenant)
    assert await view.erase_tenant() == NOTHING | {RECORDS: 2}
    assert await view.erase_tenant(dry_run=True) == NOTHING


async def test_rows_outside_the_usual_are_deleted(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    view = storage.for_tenant(tenant)
    view.prune_rows = 3
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


async def test_two_runs_at_once_delete_each_row_once(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await fill(storage, 20)
    view = storage.for_tenant(tenant)
    view.prune_rows = 3
    counts = await asyncio.gather(view.erase_tenant(), view.erase_tenant())
    assert {name: sum(count[name] for count in counts) for name in NOTHING} == (
        dict.fromkeys(NOTHING, 20) | {RECORDS: 0, SEALS: 0}
    )
    assert await everything(storage) == []


async def test_an_interrupted_run_is_completed_by_the_next(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await fill(storage, 30)
    view = storage.for_tenant(tenant)
    view.prune_rows = 3
    run = asyncio.create_task(view.erase_tenant())
    while len(await storage.load_traces(30)) == 30:  # noqa: ASYNC110  # counts
        await asyncio.sleep(0.001)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await view.erase_tenant()
    assert await everything(storage) == []


async def test_a_write_after_the_run_brings_the_tenant_back_and_old_ids_are_accepted_again(
    storage: StorageBackend,
) -> None:
    tenant = storage.current_tenant()
    old = id_at(NOW - timedelta(days=9))
    await storage.prune_events(NOW)
    await storage.for_tenant(tenant).erase_tenant()
    await storage.append_event(sample(EventRow, tenant), id=old)
    assert tenant in await storage.tenant_ids()
