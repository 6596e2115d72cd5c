"""The iterators give every row once, oldest first, page by page; a period, topic or flow limits them."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, get_origin, get_type_hints
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    CostRow,
    EventRow,
    InMemoryBackend,
    Recorded,
    Row,
    SqlRepository,
    StorageBackend,
    StorageDispatcher,
    TraceRow,
    tenant_scope,
)
from tests.pruning import OUTSIDE_UTC
from tests.samples import sample
from tests.verbs import load, store

START = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)

ITERATE: dict[type[Row], str] = {
    TraceRow: "iter_traces",
    AuditRow: "iter_audit",
    EventRow: "iter_events",
    CostRow: "iter_costs",
}
FILTERED: list[tuple[type[Row], str, str]] = [
    (TraceRow, "flow", "flow_name"),
    (EventRow, "topic", "topic"),
    (CostRow, "flow", "flow_name"),
]

each_kind = pytest.mark.parametrize("row_type", ITERATE)


def every_second() -> Callable[[], int]:
    """A clock that starts at START and advances by a second at each call."""
    ticks = iter(range(10**6))
    return lambda: (int(START.timestamp()) * 10**6 + 678_901 + next(ticks) * 10**6) * 1000


async def collect(storage: StorageBackend, row_type: type[Row], **options: Any) -> list[Recorded[Any]]:
    return [recorded async for recorded in getattr(storage, ITERATE[row_type])(**options)]


def numbered(row_type: type[Row], tenant: str, number: int, **fields: Any) -> Row:
    own = {"trace_id": 2**64 - 1 - number} if row_type is TraceRow else {}
    name = {AuditRow: "actor", EventRow: "source"}.get(row_type, "backend")
    return sample(row_type, tenant, **own, **{name: str(number)}, **fields)


@each_kind
@pytest.mark.parametrize("page_size", [1, 3, 10, 500])
async def test_every_row_is_given_once_the_oldest_first(
    storage: StorageBackend, tenant: str, row_type: type[Row], page_size: int
) -> None:
    rows = [numbered(row_type, tenant, number) for number in range(10)]
    for row in rows:
        await store(storage, row)
    found = await collect(storage, row_type, page_size=page_size)
    assert [recorded.row for recorded in found] == rows
    assert [recorded.row for recorded in found] == (await load(storage, row_type))[::-1]
    assert sorted({recorded.id for recorded in found}) == [recorded.id for recorded in found]


@each_kind
async def test_each_row_has_its_id_and_timestamp(engine: AsyncEngine, row_type: type[Row]) -> None:
    repository = SqlRepository(engine, clock=every_second())
    ids = [await store(repository, numbered(row_type, "default", number)) for number in range(3)]
    found = await collect(repository, row_type)
    assert [recorded.timestamp for recorded in found] == [START + timedelta(seconds=number) for number in range(3)]
    if row_type is not TraceRow:
        assert [recorded.id for recorded in found] == ids


@each_kind
async def test_a_period_includes_its_start_and_excludes_its_end(engine: AsyncEngine, row_type: type[Row]) -> None:
    repository = SqlRepository(engine, clock=every_second())
    for number in range(9):
        await store(repository, numbered(row_type, "default", number))

    async def between(since: datetime | None, until: datetime | None) -> list[int]:
        found = await collect(repository, row_type, since=since, until=until, page_size=2)
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
    storage: StorageBackend, tenant: str, row_type: type[Row], option: str, field: str
) -> None:
    for number in range(12):
        await store(storage, numbered(row_type, tenant, number, **{field: ["a", "A", "a "][number % 3]}))
    found = await collect(storage, row_type, **{option: "a"}, page_size=2)
    assert [getattr(recorded.row, field) for recorded in found] == ["a"] * 4
    assert await collect(storage, row_type, **{option: "b"}) == []


async def test_a_trace_that_is_saved_again_keeps_its_position_and_timestamp(repository: SqlRepository) -> None:
    for number in range(3):
        await repository.save_trace(sample(TraceRow, trace_id=number))
    before = await collect(repository, TraceRow)
    await repository.save_trace(sample(TraceRow, trace_id=0, status="again"))
    after = await collect(repository, TraceRow)
    assert [recorded.row.status for recorded in after] == ["again", "name", "name"]
    assert [(recorded.id, recorded.timestamp) for recorded in after] == [(one.id, one.timestamp) for one in before]


async def test_rows_may_be_added_and_deleted_during_an_iteration(repository: SqlRepository) -> None:
    for number in range(6):
        await repository.save_trace(sample(TraceRow, trace_id=number))
    seen = []
    async for recorded in repository.iter_traces(page_size=2):
        seen.append(recorded.row.trace_id)
        if recorded.row.trace_id == 1:
            await repository.delete_traces([0, 1, 2])
            await repository.save_trace(sample(TraceRow, trace_id=6))
    assert seen == [0, 1, 3, 4, 5, 6]


async def test_the_tenant_is_that_of_the_call(repository: SqlRepository) -> None:
    await repository.for_tenant("acme").append_event(sample(EventRow, "acme"))
    with tenant_scope("acme"):
        events = repository.iter_events()
    assert [recorded.row.tenant_id async for recorded in events] == ["acme"]


async def test_an_iterator_of_a_transaction_gives_what_it_wrote(repository: SqlRepository) -> None:
    async with repository.transaction() as transaction:
        for number in range(5):
            await transaction.append_event(sample(EventRow, source=str(number)))
        assert [recorded.row.source for recorded in await collect(transaction, EventRow, page_size=2)] == list("01234")


async def test_an_iteration_in_progress_ends_on_the_old_backend(repository: SqlRepository) -> None:
    await repository.save_many(sample(EventRow, source=str(number)) for number in range(4))
    dispatcher = StorageDispatcher(repository)
    events: AsyncIterator[Recorded[EventRow]] = dispatcher.iter_events(page_size=1)
    first = await anext(events)
    dispatcher.switch_to(InMemoryBackend())
    assert [first.row.source, *[recorded.row.source async for recorded in events]] == list("0123")


async def test_an_iterator_is_a_generator_that_can_be_closed_early(repository: SqlRepository) -> None:
    await repository.save_many(sample(EventRow, source=str(number)) for number in range(4))
    for storage in (repository, StorageDispatcher(repository), repository.for_tenant("default")):
        events: AsyncGenerator[Recorded[EventRow], None] = storage.iter_events(page_size=2)
        assert (await anext(events)).row.source == "0"
        await events.aclose()
        assert [recorded async for recorded in events] == []
    async with aclosing(repository.iter_events()) as events:
        assert (await anext(events)).row.source == "0"


@pytest.mark.parametrize("name", ITERATE.values())
def test_iterators_are_declared_as_generators(name: str) -> None:
    assert get_origin(get_type_hints(getattr(StorageBackend, name))["return"]) is AsyncGenerator


@each_kind
async def test_the_backend_that_keeps_nothing_gives_nothing(row_type: type[Row]) -> None:
    storage = InMemoryBackend()
    await store(storage, sample(row_type))
    assert await collect(storage, row_type) == []


@each_kind
@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"page_size": 0}, "page_size"),
        ({"page_size": 2**63}, "page_size"),
        ({"page_size": True}, "page_size"),
        ({"since": START.replace(tzinfo=None)}, "since"),
        ({"until": "2026-01-01"}, "until"),
        ({"since": OUTSIDE_UTC[0]}, "since must be from the year 1 to the year 9999 in UTC"),
        ({"until": OUTSIDE_UTC[1]}, "until must be from the year 1 to the year 9999 in UTC"),
        ({"after": "an id"}, "after: not a UUIDv7; pass the id of a row"),
        ({"after": UUID(int=0)}, "after: not a UUIDv7"),
        ({"after": UUID(int=(2**48 - 1) << 80 | 0x7 << 76 | 0b10 << 62)}, "after: a time after the year 9999"),
        ({"reverse": 1}, "reverse"),
    ],
)
def test_invalid_pages_and_periods_are_refused_at_once(
    row_type: type[Row], options: dict[str, Any], place: str
) -> None:
    with pytest.raises(ValueError, match=place):
        getattr(InMemoryBackend(), ITERATE[row_type])(**options)
