"""An append with an id that was pruned is refused, and writes with old ids keep their order."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from axon_storage import (
    AuditRow,
    EventRow,
    InvalidArgumentError,
    Recorded,
    Row,
    StorageBackend,
    TraceRow,
    new_id,
)
from axon_storage.model.ids import timestamp_of
from axon_storage.testing.pruning import BEFORE, DAY, NOW, OLD, id_at, prune
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import LOGS, load, store


@pytest.mark.parametrize("row_type", LOGS, ids=lambda row_type: row_type.TABLE)
async def test_an_append_with_a_pruned_id_is_refused(storage: StorageBackend, row_type: type[Row]) -> None:
    row = sample(row_type, storage.current_tenant())
    old, younger = id_at(OLD, 1), id_at(BEFORE, 2)
    await store(storage, row, id=old)
    await store(storage, row, id=younger)
    assert await prune(storage, row_type, BEFORE, dry_run=True) == 1
    assert await store(storage, row, id=old) == old  # a dry run records nothing
    assert await prune(storage, row_type, BEFORE) == 1
    for row_id in (old, id_at(OLD, 3)):
        with pytest.raises(InvalidArgumentError, match=f"id: older than .* {row_type.TABLE} was pruned"):
            await store(storage, row, id=row_id)
        with pytest.raises(InvalidArgumentError, match=f"id: older than .* {row_type.TABLE} was pruned"):
            await storage.save_many([row, Recorded(row_id, timestamp_of(row_id), row)])
    await store(storage, row, id=younger)
    await store(storage, row, id=new_id())
    await store(storage, row)
    assert len(await load(storage, row_type)) == 3


async def test_a_refused_id_does_not_end_the_transaction(storage: StorageBackend) -> None:
    row = sample(EventRow, storage.current_tenant())
    await storage.prune_events(BEFORE)
    async with storage.transaction() as transaction:
        await transaction.append_event(row)
        with pytest.raises(InvalidArgumentError, match="was pruned"):
            await transaction.append_event(row, id=id_at(OLD))
        await transaction.append_event(row, id=id_at(datetime.now(UTC)))
    assert len(await load(storage, EventRow)) == 2


async def test_the_ids_of_the_last_15_minutes_are_never_refused(storage: StorageBackend) -> None:
    row = sample(EventRow, storage.current_tenant())
    recent = id_at(datetime.now(UTC) - timedelta(minutes=14))
    await storage.append_event(row, id=recent)
    assert await storage.prune_events(NOW + DAY) == 1
    assert await storage.append_event(row, id=recent) == recent
    with pytest.raises(InvalidArgumentError):
        await storage.append_event(row, id=id_at(datetime.now(UTC) - timedelta(minutes=17)))


async def test_a_prune_of_one_topic_refuses_no_ids_and_another_table_or_tenant_neither(
    storage: StorageBackend,
) -> None:
    tenant = storage.current_tenant()
    await storage.append_event(sample(EventRow, tenant, topic="a"), id=id_at(OLD))
    assert await storage.prune_events(BEFORE, topic="a") == 1
    await storage.append_event(sample(EventRow, tenant, topic="b"), id=id_at(OLD))
    assert await storage.prune_events(BEFORE) == 1
    await storage.append_audit(sample(AuditRow, tenant), id=id_at(OLD))
    view = storage.for_tenant("third")
    await view.append_event(sample(EventRow, "third"), id=id_at(OLD))


def _trace(storage: StorageBackend, status: str) -> TraceRow:
    return sample(TraceRow, storage.current_tenant(), trace_id=1, status=status)


def _old(row: TraceRow) -> Recorded[TraceRow]:
    row_id = id_at(OLD)
    return Recorded(row_id, timestamp_of(row_id), row)


async def test_a_write_with_an_old_id_is_not_overtaken_by_later_writes_of_its_rows(storage: StorageBackend) -> None:
    for _ in range(5):
        first = asyncio.create_task(storage.save_many([_old(_trace(storage, "first"))]))
        second = asyncio.create_task(storage.save_trace(_trace(storage, "second")))
        await asyncio.gather(first, second)
        assert [row.status for row in await storage.load_traces(9)] == ["second"]
        save = asyncio.create_task(storage.save_many([_old(_trace(storage, "saved"))]))
        delete = asyncio.create_task(storage.delete_traces([1]))
        assert [*await asyncio.gather(save, delete)] == [None, 1]
        assert await storage.load_traces(9) == []


async def test_the_tasks_of_a_transaction_write_rows_with_old_ids_in_order(storage: StorageBackend) -> None:
    async with storage.transaction() as transaction:
        first = asyncio.create_task(transaction.save_many([_old(_trace(storage, "first"))]))
        second = asyncio.create_task(transaction.save_trace(_trace(storage, "second")))
        await asyncio.gather(first, second)
    assert [row.status for row in await storage.load_traces(9)] == ["second"]
