"""Writes of many rows: save_many, transaction(), and deletes of any size."""

import asyncio
from collections.abc import Iterator

import pytest

from axon_storage import (
    AuditRow,
    CostRow,
    DaemonRow,
    EventRow,
    QueryError,
    SerializationError,
    SessionRow,
    StorageBackend,
    TraceRow,
    new_id,
)
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import load


class LeavingError(Exception):
    """An error of the caller inside a transaction."""


async def test_save_many_takes_any_mix_in_order(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    rows = [sample(row_type, tenant) for row_type in ROW_TYPES] * 3
    await storage.save_many(iter(rows))
    for row_type in ROW_TYPES:
        assert await load(storage, row_type) == [sample(row_type, tenant)] * (1 if row_type.KEY else 3)


async def test_save_many_of_nothing_does_nothing(storage: StorageBackend) -> None:
    await storage.save_many([])
    assert await storage.load_traces(1) == []


async def test_of_rows_with_the_same_key_the_last_is_stored_at_the_position_of_the_first(
    storage: StorageBackend,
) -> None:
    tenant = storage.current_tenant()
    rows = [sample(TraceRow, tenant, trace_id=number, status=str(n)) for n, number in enumerate([3, 1, 3, 2, 1, 3])]
    await storage.save_many(rows)
    assert await storage.load_traces(9) == [rows[3], rows[4], rows[5]]


async def test_save_many_takes_many_rows_and_large_rows(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    events = [sample(EventRow, tenant, source=str(number)) for number in range(2500)]
    large = [sample(SessionRow, tenant, key=str(number), value="'" * 900_000) for number in range(5)]
    await storage.save_many([*events, *large])
    assert await storage.query_events(None, 9999) == events[::-1]
    assert await storage.load_sessions("name") == large


async def test_save_many_is_all_or_nothing(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()

    def rows() -> Iterator[EventRow]:
        for _ in range(1500):
            yield sample(EventRow, tenant)
        yield sample(EventRow, tenant, payload=float("nan"))

    with pytest.raises(SerializationError, match="save_many: event_history"):
        await storage.save_many(rows())
    assert await storage.query_events(None, 1) == []


async def test_a_hundred_thousand_ids_are_deleted_in_one_call(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    # few rows, spread over all the ids: the Oracle double scans them for each id
    await storage.save_many(sample(TraceRow, tenant, trace_id=number * 240) for number in range(400))
    survivor = sample(TraceRow, tenant, trace_id=2**64 - 1)
    await storage.save_trace(survivor)
    await storage.for_tenant("another").save_trace(sample(TraceRow, "another", trace_id=240))
    assert await storage.delete_traces(range(100_000)) == 400
    assert await storage.load_traces(9) == [survivor]
    assert len(await storage.for_tenant("another").load_traces(9)) == 1


# stored as signed integers, whose order continues from 2^64-1 to 0, and ends at 2^63-1
@pytest.mark.parametrize("first", [5, 2**64 - 600, 2**63 - 1200])
async def test_many_consecutive_ids_are_deleted_and_no_others(storage: StorageBackend, first: int) -> None:
    tenant = storage.current_tenant()
    ids = [(first + number) % 2**64 for number in range(1200)]
    others = [(first - 1) % 2**64, (first + 1200) % 2**64]
    kept = [sample(TraceRow, tenant, trace_id=number) for number in others]
    await storage.save_many([*kept, *(sample(TraceRow, tenant, trace_id=number) for number in ids[::11])])
    assert await storage.delete_traces(ids[::-1]) == 110
    assert await storage.load_traces(9) == kept[::-1]


async def test_deletes_ignore_unknown_and_repeated_ids(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.save_many(sample(TraceRow, tenant, trace_id=number) for number in range(5))
    assert await storage.delete_traces([]) == 0
    assert await storage.delete_traces(iter([1, 1, 1, 99, 3])) == 2
    assert await storage.delete_traces({1, 3}) == 0
    assert len(await storage.load_traces(9)) == 3


async def test_a_transaction_commits_all_at_its_end(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    async with storage.transaction() as transaction:
        await transaction.save_many([sample(row_type, tenant) for row_type in ROW_TYPES])
        assert await transaction.get_trace(7) == sample(TraceRow, tenant)  # a transaction sees its own writes
        assert await transaction.delete_traces([7]) == 1
        row_id = new_id()
        assert await transaction.append_audit(sample(AuditRow, tenant), row_id) == row_id
        assert await transaction.is_healthy()
    assert await storage.load_traces(9) == []
    assert len(await storage.query_audit(9)) == 2


async def test_a_transaction_that_raises_stores_nothing(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.save_daemon(sample(DaemonRow, tenant, state="before"))
    with pytest.raises(LeavingError):
        async with storage.transaction() as transaction:
            await transaction.save_daemon(sample(DaemonRow, tenant, state="inside"))
            await transaction.append_event(sample(EventRow, tenant))
            raise LeavingError
    assert await storage.load_daemons() == [sample(DaemonRow, tenant, state="before")]
    assert await storage.query_events(None, 9) == []


async def test_a_refused_row_does_not_end_a_transaction(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    async with storage.transaction() as transaction:
        await transaction.save_trace(sample(TraceRow, tenant))
        with pytest.raises(SerializationError):
            await transaction.append_event(sample(EventRow, tenant, payload={1}))
    assert await storage.load_traces(9) == [sample(TraceRow, tenant)]


async def test_a_transaction_with_a_cancelled_call_is_rolled_back(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    with pytest.raises(QueryError, match="transaction: rolled back"):
        async with storage.transaction() as transaction:
            await transaction.save_trace(sample(TraceRow, tenant))
            call = asyncio.create_task(transaction.save_many(sample(EventRow, tenant) for _ in range(300)))  # noqa: RUF006  # awaited below
            await asyncio.sleep(0)  # until it waits for the database
            assert not call.done()
            call.cancel()
            await asyncio.wait({call})
            assert call.cancelled()
            with pytest.raises(QueryError, match="an earlier call in this transaction failed"):
                await transaction.load_traces(1)
    assert await storage.load_traces(9) == []
    assert await storage.query_events(None, 9) == []


async def test_a_transaction_waits_for_the_calls_of_its_tasks(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    async with storage.transaction() as transaction:
        await transaction.save_trace(sample(TraceRow, tenant))
        call = asyncio.create_task(transaction.save_many(sample(EventRow, tenant) for _ in range(2000)))  # noqa: RUF006  # awaited
        await asyncio.sleep(0.01)
    await call
    assert len(await storage.query_events(None, 9999)) == 2000
    assert await storage.load_traces(9) == [sample(TraceRow, tenant)]


async def test_tasks_can_share_a_transaction(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    async with storage.transaction() as transaction:
        await asyncio.gather(*(transaction.record_cost(sample(CostRow, tenant)) for _ in range(20)))
    assert len(await storage.query_costs(None, 99)) == 20


async def test_a_transaction_can_write_for_several_tenants(storage: StorageBackend) -> None:
    async with storage.for_tenant("a").transaction() as transaction:
        await transaction.save_trace(sample(TraceRow, "a"))
        await transaction.for_tenant("b").save_trace(sample(TraceRow, "b"))
    assert {"a", "b"} <= set(await storage.tenant_ids())


async def test_a_transaction_cannot_be_used_after_its_end_or_nested(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    async with storage.transaction() as transaction:
        with pytest.raises(QueryError, match="transactions cannot be nested"):
            transaction.transaction()
    with pytest.raises(QueryError, match="save_trace: this transaction is over"):
        await transaction.save_trace(sample(TraceRow, tenant))
    await transaction.close()
    assert await storage.load_traces(9) == []
