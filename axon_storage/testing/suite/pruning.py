"""Prune methods delete the old rows of their tenant: by their ids, or by the time of their last save."""

from datetime import UTC, datetime, timedelta

import pytest

from axon_storage import CostRow, EventRow, Recorded, Row, SessionRow, StorageBackend, TraceRow
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.iteration import recorded_at
from axon_storage.testing.pruning import BEFORE, DAY, LAST_SAVED, NOW, OLD, fill, key_fields, prune
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import LOGS, load

WITH_ID = (TraceRow, *LOGS)
"""The row types whose age is that of their first save."""


def _recorded(storage: StorageBackend, row_type: type[Row], moment: datetime, numbers: range) -> list[Recorded[Row]]:
    tenant = storage.current_tenant()
    return [recorded_at(moment, sample(row_type, tenant, **key_fields(row_type, number))) for number in numbers]


@pytest.mark.parametrize("row_type", WITH_ID, ids=lambda row_type: row_type.TABLE)
async def test_rows_with_an_old_id_are_deleted_and_the_others_stay(
    storage: StorageBackend, row_type: type[Row]
) -> None:
    storage.prune_rows = 5
    recent = _recorded(storage, row_type, NOW, range(100, 103))
    await storage.save_many([*_recorded(storage, row_type, OLD, range(13)), *recent])
    assert await prune(storage, row_type, BEFORE, dry_run=True) == 13
    assert len(await load(storage, row_type)) == 16
    assert await prune(storage, row_type, BEFORE) == 13
    assert sorted(map(str, await load(storage, row_type))) == sorted(str(recorded.row) for recorded in recent)
    assert await prune(storage, row_type, BEFORE) == 0


@pytest.mark.parametrize("row_type", LAST_SAVED, ids=lambda row_type: row_type.TABLE)
async def test_rows_without_an_id_are_pruned_by_their_last_save(storage: StorageBackend, row_type: type[Row]) -> None:
    storage.prune_rows = 3
    await fill(storage, row_type, range(7))
    assert await prune(storage, row_type, NOW - DAY) == 0
    assert await prune(storage, row_type, NOW + DAY, dry_run=True) == len(await load(storage, row_type)) == 7
    assert await prune(storage, row_type, NOW + DAY) == 7
    assert await load(storage, row_type) == []


@pytest.mark.parametrize("row_type", WITH_ID, ids=lambda row_type: row_type.TABLE)
async def test_the_time_is_exclusive_and_that_of_the_first_save(storage: StorageBackend, row_type: type[Row]) -> None:
    moment, instant = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC), timedelta(microseconds=1)
    for number, time in enumerate([moment - instant, moment]):
        await storage.save_many(_recorded(storage, row_type, time, range(number, number + 1)))
    if row_type is TraceRow:
        again = [sample(TraceRow, storage.current_tenant(), trace_id=number, status="again") for number in range(2)]
        await storage.save_many(again)
    assert await prune(storage, row_type, moment) == 1
    assert await prune(storage, row_type, moment + instant) == 1


@pytest.mark.parametrize(
    ("row_type", "option", "field"),
    [(TraceRow, "flow", "flow_name"), (EventRow, "topic", "topic"), (CostRow, "flow", "flow_name")],
)
async def test_one_flow_or_topic_is_pruned(
    storage: StorageBackend, row_type: type[Row], option: str, field: str
) -> None:
    tenant = storage.current_tenant()
    for name in ("a", "b", "c"):
        keys = [key_fields(row_type, number + 100 * ord(name)) for number in range(7)]
        await storage.save_many([recorded_at(OLD, sample(row_type, tenant, **key | {field: name})) for key in keys])
    assert await prune(storage, row_type, BEFORE, **{option: "b"}, dry_run=True) == 7
    assert await prune(storage, row_type, BEFORE, **{option: "b"}) == 7
    assert {getattr(row, field) for row in await load(storage, row_type)} == {"a", "c"}


@pytest.mark.parametrize("row_type", ROW_TYPES, ids=lambda row_type: row_type.TABLE)
async def test_only_the_rows_of_the_tenant_are_pruned(storage: StorageBackend, row_type: type[Row]) -> None:
    for tenant in ("a", "b"):
        await storage.for_tenant(tenant).save_many([sample(row_type, tenant)])
    assert await prune(storage.for_tenant("a"), row_type, NOW + DAY) == 1
    assert await load(storage.for_tenant("b"), row_type) == [sample(row_type, "b")]


async def test_the_first_and_the_last_time_are_accepted(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.save_many([sample(SessionRow, tenant), sample(EventRow, tenant)])
    for time, deleted in ((datetime.min, 0), (datetime.max, 1)):
        before = time.replace(tzinfo=UTC)
        assert await storage.prune_sessions(before) == await storage.prune_events(before) == deleted
