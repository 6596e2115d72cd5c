"""``reverse`` and ``after`` of the iterators: the newest rows first, and the rows that follow a given one."""

from datetime import timedelta
from typing import Any

import pytest

from axon_storage import Row, StorageBackend, TraceRow, new_id
from axon_storage.testing.iteration import FILTERED, START, collect, each_kind, numbered, recorded_at
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import load, store


@each_kind
@pytest.mark.parametrize("page_size", [1, 3, 10, 500])
async def test_reverse_gives_every_row_once_the_newest_first(
    storage: StorageBackend, row_type: type[Row], page_size: int
) -> None:
    tenant = storage.current_tenant()
    for number in range(10):
        await store(storage, numbered(row_type, tenant, number))
    found = await collect(storage, row_type, reverse=True, page_size=page_size)
    assert [recorded.row for recorded in found] == await load(storage, row_type)
    assert found == (await collect(storage, row_type))[::-1]


@each_kind
async def test_after_gives_the_rows_that_follow_in_either_direction(
    storage: StorageBackend, row_type: type[Row]
) -> None:
    tenant = storage.current_tenant()
    before_all = new_id()
    for number in range(7):
        await store(storage, numbered(row_type, tenant, number))
    rows, after_all = await collect(storage, row_type), new_id()
    for place, recorded in enumerate(rows):
        assert await collect(storage, row_type, after=recorded.id, page_size=2) == rows[place + 1 :]
        older = await collect(storage, row_type, after=recorded.id, reverse=True, page_size=2)
        assert older == rows[:place][::-1]
    # ids of no row
    assert await collect(storage, row_type, after=before_all) == rows
    assert await collect(storage, row_type, after=before_all, reverse=True) == []
    assert await collect(storage, row_type, after=after_all) == []
    assert await collect(storage, row_type, after=after_all, reverse=True) == rows[::-1]


@pytest.mark.parametrize(("row_type", "option", "field"), FILTERED)
async def test_after_applies_together_with_a_period_and_a_name(
    storage: StorageBackend, row_type: type[Row], option: str, field: str
) -> None:
    tenant = storage.current_tenant()
    rows = [numbered(row_type, tenant, number, **{field: "ab"[number % 2]}) for number in range(12)]
    given = [recorded_at(START + timedelta(seconds=number), row) for number, row in enumerate(rows)]
    await storage.save_many(given)

    async def seconds(**options: Any) -> list[int]:
        found = await collect(storage, row_type, **{option: "a"}, page_size=2, **options)
        return [int((recorded.timestamp - START).total_seconds()) for recorded in found]

    period = {"since": START + timedelta(seconds=2), "until": START + timedelta(seconds=9)}
    assert await seconds(**period) == [2, 4, 6, 8]
    assert await seconds(**period, reverse=True) == [8, 6, 4, 2]
    assert await seconds(**period, after=given[4].id) == [6, 8]
    assert await seconds(**period, after=given[6].id, reverse=True) == [4, 2]
    # a row outside the period
    assert await seconds(**period, after=given[0].id) == [2, 4, 6, 8]
    assert await seconds(**period, after=given[0].id, reverse=True) == []
    assert await seconds(**period, after=given[11].id) == []
    assert await seconds(**period, after=given[11].id, reverse=True) == [8, 6, 4, 2]


async def test_traces_are_listed_by_flow_with_limit_and_offset(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    for number in range(9):
        await storage.save_trace(sample(TraceRow, tenant, trace_id=number, flow_name=["a", "A", "a "][number % 3]))
    assert [trace.trace_id for trace in await storage.load_traces(9, flow="a")] == [6, 3, 0]
    assert [trace.trace_id for trace in await storage.load_traces(2, 1, flow="a")] == [3, 0]
    assert [trace.trace_id for trace in await storage.load_traces(2, flow=None)] == [8, 7]
    assert await storage.load_traces(9, flow="b") == []
