"""Concurrent writes of one row take effect in the order of the calls, and each caller gets its own result."""

import asyncio

import pytest

from axon_storage import AuditRow, DaemonRow, EventRow, StorageBackend, TraceRow, new_id
from axon_storage.testing.samples import sample


async def test_each_caller_gets_its_own_result(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.save_many(sample(TraceRow, tenant, trace_id=number) for number in range(60))
    ids = [new_id() for _ in range(10)]
    answers = await asyncio.gather(
        *(storage.append_event(sample(EventRow, tenant), id=row_id) for row_id in ids),
        *(storage.delete_traces(range(number * 10, number * 10 + number)) for number in range(6)),
        storage.delete_traces([0, 1, 11, 999]),
        storage.delete_session("no such", "entry"),
    )
    assert answers == [*ids, 0, 1, 2, 3, 4, 5, 3, False]


@pytest.mark.parametrize("number", [0, 1199])
async def test_a_delete_of_many_consecutive_ids_keeps_its_place_among_the_writes_of_a_trace(
    storage: StorageBackend, number: int
) -> None:
    first, last = (sample(TraceRow, storage.current_tenant(), trace_id=number, status=each) for each in ("1", "2"))
    deletes = [storage.delete_traces(range(1200)) for _ in range(3)]
    calls = [storage.save_trace(first), deletes[0], storage.save_trace(first), deletes[1], storage.save_trace(last)]
    assert await asyncio.gather(*calls) == [None, 1, None, 1, None]
    assert await storage.load_traces(9) == [last]
    assert await deletes[2] == 1


async def test_a_batch_keeps_the_order_of_writes_of_one_row(storage: StorageBackend) -> None:
    async def write(turn: int) -> bool | None:
        if turn % 5 == 3:
            return await storage.delete_daemon("name")
        await storage.save_daemon(sample(DaemonRow, storage.current_tenant(), state=str(turn)))
        return None

    for last in (12, 13, 14):
        answers = await asyncio.gather(*(write(turn) for turn in range(last)))
        assert {answer for answer in answers if answer is not None} == {True}
        assert [daemon.state for daemon in await storage.load_daemons()] == ([str(last - 1)] if last != 14 else [])


async def test_a_row_saved_several_times_keeps_the_position_of_its_first_save(storage: StorageBackend) -> None:
    order, tenant = [1, 5, 3, 5, 1, 2, 4, 3], storage.current_tenant()
    await asyncio.gather(*(storage.save_trace(sample(TraceRow, tenant, trace_id=number)) for number in order))
    assert [trace.trace_id for trace in await storage.load_traces(9)] == [4, 2, 3, 5, 1]


async def test_an_append_with_a_stored_id_changes_nothing(storage: StorageBackend) -> None:
    known, tenant = new_id(), storage.current_tenant()
    calls = [storage.append_audit(sample(AuditRow, tenant, actor=str(number)), id=known) for number in range(9)]
    assert set(await asyncio.gather(*calls)) == {known}
    assert [entry.actor for entry in await storage.query_audit(9)] == ["0"]
