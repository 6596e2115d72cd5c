"""``create`` and ``save_many(keep_existing=True)`` store a row only if its key does not exist."""

import asyncio
from dataclasses import replace

import pytest

from axon_storage import (
    CacheRow,
    InvalidArgumentError,
    Row,
    SerializationError,
    SessionRow,
    StorageBackend,
    TraceRow,
)
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.saves import other_values
from axon_storage.testing.verbs import KEYED, LOGS, delete, get, load


def entry_of(key: str, value: str, tenant: str = "default") -> SessionRow:
    return sample(SessionRow, tenant, scope="s", key=key, value=value)


@pytest.mark.parametrize("row_type", KEYED)
async def test_a_create_stores_a_row_once(storage: StorageBackend, row_type: type[Row]) -> None:
    tenant = storage.current_tenant()
    row = sample(row_type, tenant)
    assert await storage.create(row) is True
    assert await storage.create(other_values(row)) is False
    assert await load(storage, row_type) == [row]
    assert await delete(storage, row) == 1
    assert await storage.create(other_values(row)) is True
    assert await get(storage, row) == other_values(row)
    async with storage.transaction() as transaction:
        assert await transaction.create(row) is False
        await transaction.save_session(entry_of("after a create of an existing row", "", tenant))
        assert await delete(transaction, row) == 1
        assert await transaction.create(row) is True
        assert await transaction.create(other_values(row)) is False
    assert await get(storage, row) == row


async def test_a_created_trace_is_the_newest(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    for number in (2, 1, 3, 1):
        await storage.create(sample(TraceRow, tenant, trace_id=number))
    assert [trace.trace_id for trace in await storage.load_traces(9)] == [3, 1, 2]


async def test_an_expired_entry_counts_as_existing(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    entry = sample(CacheRow, tenant, ttl_secs=0)
    await storage.save_cache_entry(entry)
    assert await storage.create(replace(entry, ttl_secs=None)) is False
    assert await storage.evict_expired_cache() == 1
    assert await storage.create(replace(entry, ttl_secs=None)) is True


@pytest.mark.parametrize("row_type", LOGS)
async def test_append_only_rows_cannot_be_created(storage: StorageBackend, row_type: type[Row]) -> None:
    tenant = storage.current_tenant()
    with pytest.raises(InvalidArgumentError, match=f"create: {row_type.__name__} is append-only"):
        await storage.create(sample(row_type, tenant))
    with pytest.raises(SerializationError, match="dict is not a Row"):
        await storage.create({})  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidArgumentError, match="save_many: keep_existing must be True or False"):
        await storage.save_many([], keep_existing=1)  # type: ignore[arg-type]  # on purpose
    assert await load(storage, row_type) == []


async def test_rows_that_exist_are_kept(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    old = [entry_of(f"{number:04}", "old", tenant) for number in range(0, 3000, 2)]
    await storage.save_many(old)
    new = [entry_of(f"{number:04}", "new", tenant) for number in range(3000)]
    twice = [replace(row, value="newer") for row in new]
    await storage.save_many([*new, *twice], keep_existing=True)
    values = [entry.value for entry in await storage.load_sessions("s")]
    assert values == ["old", "new"] * 1500
    rows = [sample(row_type, tenant) for row_type in ROW_TYPES]
    await storage.save_many(rows, keep_existing=True)
    await storage.save_many([other_values(row) for row in rows], keep_existing=True)
    for row in rows:
        if type(row) in LOGS:
            assert await load(storage, type(row)) == [other_values(row), row]
        else:
            assert await get(storage, row) == row


@pytest.mark.parametrize("row_type", [SessionRow, TraceRow])
async def test_concurrent_saves_that_keep_or_replace_a_row_take_effect_in_order(
    storage: StorageBackend, row_type: type[Row]
) -> None:
    tenant = storage.current_tenant()
    names = ("value", "a", "b", "c", "d") if row_type is SessionRow else ("status", "a", "b", "c", "d")
    a, b, c, d = (sample(row_type, tenant, **{names[0]: name}) for name in names[1:])
    orders: list[list[tuple[Row, bool]]] = [
        [(a, True), (b, True)],
        [(a, False), (b, True)],
        [(a, True), (b, False)],
        [(c, True), (d, False), (a, True)],
    ]
    for order, expected in zip(orders, (a, a, b, d), strict=True):
        await asyncio.gather(*(storage.save_many([row], keep_existing=keep) for row, keep in order))
        assert await load(storage, row_type) == [expected]
        await delete(storage, a)
