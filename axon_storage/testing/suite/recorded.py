"""``save_many`` stores Recorded rows under the ids and timestamps that they carry."""

import asyncio
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from axon_storage import (
    EventRow,
    Row,
    StorageBackend,
    TraceRow,
)
from axon_storage.testing.iteration import ITERATE, collect, each_kind, numbered, recorded_rows
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import store


@each_kind
async def test_recorded_rows_are_stored_under_their_ids_and_repeating_stores_nothing_twice(
    storage: StorageBackend, row_type: type[Row]
) -> None:
    tenant = storage.current_tenant()
    newer = numbered(row_type, tenant, 99)
    await store(storage, newer)
    given = recorded_rows(row_type, tenant)
    for _ in range(2):
        await storage.save_many(given[::-1])
        found = await collect(storage, row_type)
        assert found[:-1] == given
        assert found[-1].row == newer
    async with storage.transaction() as transaction:
        await transaction.save_many(given)
    assert len(await collect(storage, row_type)) == 6


@each_kind
async def test_all_rows_of_one_storage_can_be_copied_into_another(storage: StorageBackend, row_type: type[Row]) -> None:
    tenant = storage.current_tenant()
    given = recorded_rows(row_type, tenant)
    await storage.save_many(given)
    copy = [
        replace(recorded, row=replace(recorded.row, tenant_id="copy"))
        async for recorded in getattr(storage, ITERATE[row_type])(page_size=2)
    ]
    view = storage.for_tenant("copy")
    await view.save_many(copy)
    await view.save_many(copy)
    assert await collect(view, row_type) == copy


async def test_an_appended_row_is_kept_and_a_trace_is_replaced_at_its_own_place(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    event, trace = recorded_rows(EventRow, tenant, 1)[0], recorded_rows(TraceRow, tenant, 1)[0]
    await storage.save_trace(replace(trace.row, status="first"))
    [before] = await collect(storage, TraceRow)
    await storage.save_many([event, trace])
    await storage.save_many([replace(event, row=replace(event.row, source="other")), trace])
    assert await collect(storage, EventRow) == [event]
    assert await collect(storage, TraceRow) == [replace(before, row=trace.row)]


async def test_recorded_rows_and_others_are_stored_in_one_call(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    traces = recorded_rows(TraceRow, tenant, 2)
    again = replace(traces[0].row, status="again")
    await storage.save_many([*traces, again, sample(EventRow, tenant), *recorded_rows(EventRow, tenant, 1)])
    assert await collect(storage, TraceRow) == [replace(traces[0], row=again), traces[1]]
    assert len(await collect(storage, EventRow)) == 2


@pytest.mark.parametrize("row_type", [EventRow, TraceRow])
async def test_repetitions_at_the_same_time_store_each_row_once(storage: StorageBackend, row_type: type[Row]) -> None:
    tenant = storage.current_tenant()
    given = recorded_rows(row_type, tenant, 20)
    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(storage.save_many(given[number:] + given[:number]))
    assert await collect(storage, row_type) == given


async def test_a_timestamp_in_another_time_zone_is_the_same(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    [given] = recorded_rows(EventRow, tenant, 1)
    elsewhere = given.timestamp.astimezone(timezone(timedelta(hours=5)))
    await storage.save_many([replace(given, timestamp=elsewhere)])
    assert await collect(storage, EventRow) == [given]
