"""``save_many`` stores Recorded rows under the ids and timestamps that they carry."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from axon_storage import (
    AuditRow,
    CostRow,
    EventRow,
    InMemoryBackend,
    InvalidArgumentError,
    Recorded,
    Row,
    SerializationError,
    SqlRepository,
    StorageBackend,
    TenantMismatchError,
    TraceRow,
    new_id,
)
from axon_storage.model.ids import first_id, timestamp_of
from tests.conformance.test_iterators import collect, each_kind, numbered
from tests.samples import sample
from tests.verbs import KEYED, store

LONG_AGO = datetime(2001, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC)


def recorded_rows(row_type: type[Row], tenant: str, count: int = 5) -> list[Recorded[Any]]:
    """Rows that were recorded long ago, a second apart."""
    moments = [LONG_AGO + timedelta(seconds=number) for number in range(count)]
    ids = [replace_random_bits(first_id(moment).int) for moment in moments]
    return [
        Recorded(row_id, moment, numbered(row_type, tenant, number))
        for number, (row_id, moment) in enumerate(zip(ids, moments, strict=True))
    ]


def replace_random_bits(first: int) -> Any:
    own = new_id()
    return type(own)(int=first | own.int & (2**66 - 1))


@each_kind
async def test_recorded_rows_are_stored_under_their_ids_and_repeating_stores_nothing_twice(
    storage: StorageBackend, tenant: str, row_type: type[Row]
) -> None:
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
async def test_all_rows_of_one_storage_can_be_copied_into_another(
    storage: StorageBackend, tenant: str, row_type: type[Row]
) -> None:
    given = recorded_rows(row_type, tenant)
    await storage.save_many(given)
    copy = [
        replace(recorded, row=replace(recorded.row, tenant_id="copy")) async for recorded in _iterate(storage, row_type)
    ]
    view = storage.for_tenant("copy")
    await view.save_many(copy)
    await view.save_many(copy)
    assert await collect(view, row_type) == copy


def _iterate(storage: StorageBackend, row_type: type[Row]) -> Any:
    names = {TraceRow: "traces", AuditRow: "audit", EventRow: "events", CostRow: "costs"}
    return getattr(storage, f"iter_{names[row_type]}")(page_size=2)


async def test_an_appended_row_is_kept_and_a_trace_is_replaced_at_its_own_place(repository: SqlRepository) -> None:
    event, trace = recorded_rows(EventRow, "default", 1)[0], recorded_rows(TraceRow, "default", 1)[0]
    await repository.save_trace(replace(trace.row, status="first"))
    [before] = await collect(repository, TraceRow)
    await repository.save_many([event, trace])
    await repository.save_many([replace(event, row=replace(event.row, source="other")), trace])
    assert await collect(repository, EventRow) == [event]
    assert await collect(repository, TraceRow) == [replace(before, row=trace.row)]


async def test_recorded_rows_and_others_are_stored_in_one_call(repository: SqlRepository) -> None:
    traces = recorded_rows(TraceRow, "default", 2)
    again = replace(traces[0].row, status="again")
    await repository.save_many([*traces, again, sample(EventRow), *recorded_rows(EventRow, "default", 1)])
    assert await collect(repository, TraceRow) == [replace(traces[0], row=again), traces[1]]
    assert len(await collect(repository, EventRow)) == 2


@pytest.mark.parametrize("row_type", [EventRow, TraceRow])
async def test_repetitions_at_the_same_time_store_each_row_once(repository: SqlRepository, row_type: type[Row]) -> None:
    given = recorded_rows(row_type, "default", 20)
    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(repository.save_many(given[number:] + given[:number]))
    assert await collect(repository, row_type) == given


async def test_a_timestamp_in_another_time_zone_is_the_same(repository: SqlRepository) -> None:
    [given] = recorded_rows(EventRow, "default", 1)
    elsewhere = given.timestamp.astimezone(timezone(timedelta(hours=5)))
    await repository.save_many([replace(given, timestamp=elsewhere)])
    assert await collect(repository, EventRow) == [given]


@pytest.mark.parametrize("backend", ["memory", "sql"])
async def test_recorded_rows_that_are_not_consistent_are_refused(repository: SqlRepository, backend: str) -> None:
    storage: StorageBackend = repository if backend == "sql" else InMemoryBackend()
    [good] = recorded_rows(EventRow, "default", 1)
    later, naive = good.timestamp + timedelta(microseconds=1), good.timestamp.replace(tzinfo=None)
    timestamps: list[Any] = [later, naive, None]
    for wrong in timestamps:
        with pytest.raises(InvalidArgumentError, match=r"save_many: Recorded\.timestamp must be that of its id, 2001-"):
            await storage.save_many([good, replace(good, timestamp=wrong)])
    with pytest.raises(InvalidArgumentError, match=r"Recorded\.id: not a UUIDv7"):
        await storage.save_many([Recorded("an id", good.timestamp, good.row)])  # type: ignore[arg-type]  # refused
    with pytest.raises(TenantMismatchError):
        await storage.save_many([replace(good, row=sample(EventRow, "other"))])
    with pytest.raises(SerializationError, match=r"event_history\.topic"):
        await storage.save_many([replace(good, row=sample(EventRow, topic=1))])
    with pytest.raises(InvalidArgumentError, match="a Recorded has no id"):
        await storage.save_many([replace(good, row=good)])
    with pytest.raises(SerializationError, match="Recorded is not a EventRow"):
        await storage.append_event(good)  # type: ignore[arg-type]  # refused for that
    assert await collect(storage, EventRow) == []


@pytest.mark.parametrize("backend", ["memory", "sql"])
async def test_two_traces_of_a_call_with_one_id_are_refused(repository: SqlRepository, backend: str) -> None:
    storage: StorageBackend = repository if backend == "sql" else InMemoryBackend()
    [one] = recorded_rows(TraceRow, "default", 1)
    two = replace(one, row=numbered(TraceRow, "default", 2))
    with pytest.raises(InvalidArgumentError, match=r"save_many: Recorded\.id: two traces have the same id"):
        await storage.save_many([one, sample(EventRow), two])
    async with storage.transaction() as transaction:
        with pytest.raises(InvalidArgumentError, match="two traces have the same id"):
            await transaction.save_many([one, two])
    assert await collect(storage, TraceRow) == []
    await storage.save_many([one, one])
    if backend == "sql":
        assert await collect(storage, TraceRow) == [one]


@pytest.mark.parametrize("row_type", [row_type for row_type in KEYED if row_type is not TraceRow])
async def test_a_recorded_row_of_a_type_without_ids_is_refused(row_type: type[Row]) -> None:
    row_id = new_id()
    with pytest.raises(InvalidArgumentError, match=f"a {row_type.__name__} has no id; pass the row itself"):
        await InMemoryBackend().save_many([Recorded(row_id, timestamp_of(row_id), sample(row_type))])
