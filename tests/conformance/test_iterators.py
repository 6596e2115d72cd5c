"""The iterators give every row once, oldest first, page by page; a period, topic or flow limits them."""

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any, get_origin, get_type_hints
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    EventRow,
    InMemoryBackend,
    Row,
    SqlRepository,
    StorageBackend,
    TraceRow,
    tenant_scope,
)
from axon_storage.testing.iteration import ITERATE, START, collect, each_kind, numbered
from axon_storage.testing.pruning import OUTSIDE_UTC
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.iterators import *  # noqa: F403
from axon_storage.testing.verbs import store


def every_second() -> Callable[[], int]:
    """A clock that starts at START and advances by a second at each call."""
    ticks = iter(range(10**6))
    return lambda: (int(START.timestamp()) * 10**6 + START.microsecond + next(ticks) * 10**6) * 1000


@each_kind
async def test_each_row_has_its_id_and_timestamp(engine: AsyncEngine, row_type: type[Row]) -> None:
    repository = SqlRepository(engine, clock=every_second())
    ids = [await store(repository, numbered(row_type, "default", number)) for number in range(3)]
    found = await collect(repository, row_type)
    assert [recorded.timestamp for recorded in found] == [START + timedelta(seconds=number) for number in range(3)]
    if row_type is not TraceRow:
        assert [recorded.id for recorded in found] == ids


async def test_the_tenant_is_that_of_the_call(repository: SqlRepository) -> None:
    await repository.for_tenant("acme").append_event(sample(EventRow, "acme"))
    with tenant_scope("acme"):
        events = repository.iter_events()
    assert [recorded.row.tenant_id async for recorded in events] == ["acme"]


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
