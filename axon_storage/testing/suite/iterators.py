"""The iterators give every row once, oldest first, page by page; a period, topic or flow limits them."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from axon_storage import (
    EventRow,
    InMemoryBackend,
    Row,
    StorageBackend,
    StorageDispatcher,
    TraceRow,
)
from axon_storage.testing.iteration import FILTERED, START, collect, each_kind, numbered, recorded_rows
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import load, store


@each_kind
@pytest.mark.parametrize("page_size", [1, 3, 10, 500])
async def test_every_row_is_given_once_the_oldest_first(
    storage: StorageBackend, row_type: type[Row], page_size: int
) -> None:
    tenant = storage.current_tenant()
    rows = [numbered(row_type, tenant, number) for number in range(10)]
    for row in rows:
        await store(storage, row)
    found = await collect(storage, row_type, page_size=page_size)
    assert [recorded.row for recorded in found] == rows
    assert [recorded.row for recorded in found] == (await load(storage, row_type))[::-1]
    assert sorted({recorded.id for recorded in found}) == [recorded.id for recorded in found]


@each_kind
async def test_a_period_includes_its_start_and_excludes_its_end(storage: StorageBackend, row_type: type[Row]) -> None:
    await storage.save_many(recorded_rows(row_type, storage.current_tenant(), 9))

    async def between(since: datetime | None, until: datetime | None) -> list[int]:
        found = await collect(storage, row_type, since=since, until=until, page_size=2)
        return [int((recorded.timestamp - START).total_seconds()) for recorded in found]

    second, instant = timedelta(seconds=1), timedelta(microseconds=1)
    assert await between(START + 2 * second, START + 5 * second) == [2, 3, 4]
    assert await between(START + 2 * second + instant, START + 5 * second + instant) == [3, 4, 5]
    assert await between(START + 7 * second, None) == [7, 8]
    assert await between(None, START + second) == [0]
    assert await between(START + 5 * second, START + 2 * second) == []
    assert await between(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)) == list(range(9))


@pytest.mark.parametrize(("row_type", "option", "field"), FILTERED)
async def test_a_filter_gives_only_the_rows_of_that_name(
    storage: StorageBackend, row_type: type[Row], option: str, field: str
) -> None:
    tenant = storage.current_tenant()
    for number in range(12):
        await store(storage, numbered(row_type, tenant, number, **{field: ["a", "A", "a "][number % 3]}))
    found = await collect(storage, row_type, **{option: "a"}, page_size=2)
    assert [getattr(recorded.row, field) for recorded in found] == ["a"] * 4
    assert await collect(storage, row_type, **{option: "b"}) == []


async def test_a_trace_that_is_saved_again_keeps_its_position_and_timestamp(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    for number in range(3):
        await storage.save_trace(sample(TraceRow, tenant, trace_id=number))
    before = await collect(storage, TraceRow)
    await storage.save_trace(sample(TraceRow, tenant, trace_id=0, status="again"))
    after = await collect(storage, TraceRow)
    assert [recorded.row.status for recorded in after] == ["again", "name", "name"]
    assert [(recorded.id, recorded.timestamp) for recorded in after] == [(one.id, one.timestamp) for one in before]


async def test_rows_may_be_added_and_deleted_during_an_iteration(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    for number in range(6):
        await storage.save_trace(sample(TraceRow, tenant, trace_id=number))
    seen = []
    async for recorded in storage.iter_traces(page_size=2):
        seen.append(recorded.row.trace_id)
        if recorded.row.trace_id == 1:
            await storage.delete_traces([0, 1, 2])
            await storage.save_trace(sample(TraceRow, tenant, trace_id=6))
    assert seen == [0, 1, 3, 4, 5, 6]


async def test_an_iterator_of_a_transaction_gives_what_it_wrote(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    async with storage.transaction() as transaction:
        for number in range(5):
            await transaction.append_event(sample(EventRow, tenant, source=str(number)))
        assert [recorded.row.source for recorded in await collect(transaction, EventRow, page_size=2)] == list("01234")


async def test_an_iteration_in_progress_ends_on_the_old_backend(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.save_many(sample(EventRow, tenant, source=str(number)) for number in range(4))
    dispatcher = StorageDispatcher(storage)
    events = dispatcher.iter_events(page_size=1)
    first = await anext(events)
    dispatcher.switch_to(InMemoryBackend())
    assert [first.row.source, *[recorded.row.source async for recorded in events]] == list("0123")


async def test_an_iterator_is_a_generator_that_can_be_closed_early(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.save_many(sample(EventRow, tenant, source=str(number)) for number in range(4))
    for view in (storage, StorageDispatcher(storage), storage.for_tenant(tenant)):
        events = view.iter_events(page_size=2)
        assert (await anext(events)).row.source == "0"
        await events.aclose()
        assert [recorded async for recorded in events] == []
    async with aclosing(storage.iter_events()) as events:
        assert (await anext(events)).row.source == "0"
