"""``create`` and ``save_many(keep_existing=True)`` store a row only if its key does not exist."""

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    CacheRow,
    DaemonRow,
    InvalidArgumentError,
    QueryError,
    Row,
    SerializationError,
    SessionRow,
    SqlRepository,
    StorageBackend,
    TraceRow,
)
from axon_storage.model.rows import ROW_TYPES
from tests.conformance.concurrent_writes import start
from tests.conformance.test_saves import _other
from tests.samples import sample
from tests.verbs import KEYED, LOGS, delete, get, load

pytestmark = pytest.mark.timeout(120)


def _entry(key: str, value: str, tenant: str = "default") -> SessionRow:
    return sample(SessionRow, tenant, scope="s", key=key, value=value)


@pytest.mark.parametrize("row_type", KEYED)
async def test_a_create_stores_a_row_once(storage: StorageBackend, tenant: str, row_type: type[Row]) -> None:
    row = sample(row_type, tenant)
    assert await storage.create(row) is True
    assert await storage.create(_other(row)) is False
    assert await load(storage, row_type) == [row]
    assert await delete(storage, row) == 1
    assert await storage.create(_other(row)) is True
    assert await get(storage, row) == _other(row)
    async with storage.transaction() as transaction:
        assert await transaction.create(row) is False
        await transaction.save_session(_entry("after a create of an existing row", "", tenant))
        assert await delete(transaction, row) == 1
        assert await transaction.create(row) is True
        assert await transaction.create(_other(row)) is False
    assert await get(storage, row) == row


async def test_a_created_trace_is_the_newest(storage: StorageBackend, tenant: str) -> None:
    for number in (2, 1, 3, 1):
        await storage.create(sample(TraceRow, tenant, trace_id=number))
    assert [trace.trace_id for trace in await storage.load_traces(9)] == [3, 1, 2]


async def test_an_expired_entry_counts_as_existing(storage: StorageBackend, tenant: str) -> None:
    entry = sample(CacheRow, tenant, ttl_secs=0)
    await storage.save_cache_entry(entry)
    assert await storage.create(replace(entry, ttl_secs=None)) is False
    assert await storage.evict_expired_cache() == 1
    assert await storage.create(replace(entry, ttl_secs=None)) is True


@pytest.mark.parametrize("row_type", LOGS)
async def test_append_only_rows_cannot_be_created(repository: SqlRepository, row_type: type[Row]) -> None:
    with pytest.raises(InvalidArgumentError, match=f"create: {row_type.__name__} is append-only"):
        await repository.create(sample(row_type))
    with pytest.raises(SerializationError, match="dict is not a Row"):
        await repository.create({})  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidArgumentError, match="save_many: keep_existing must be True or False"):
        await repository.save_many([], keep_existing=1)  # type: ignore[arg-type]  # on purpose
    assert await load(repository, row_type) == []


@pytest.mark.parametrize("group_commit", [True, False])
async def test_of_concurrent_creates_of_one_key_one_returns_true(engine: AsyncEngine, *, group_commit: bool) -> None:
    storages = [SqlRepository(engine, group_commit=group_commit) for _ in range(3)]
    for turn in range(5):
        rows = [_entry(f"{turn}", f"{number}") for number in range(30)]
        calls = start(*(storages[number % 3].create(row) for number, row in enumerate(rows)))
        [stored] = [row for row, created in zip(rows, await asyncio.gather(*calls), strict=True) if created]
        assert await storages[0].get_session("s", f"{turn}") == stored


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("group_commit", [True, False])
async def test_writes_of_a_row_and_their_results_are_in_the_order_of_the_calls(
    engine: AsyncEngine, seed: int, *, group_commit: bool
) -> None:
    storage, dice = SqlRepository(engine, group_commit=group_commit), random.Random(seed)  # noqa: S311  # repeatable
    calls, expected, model = list["asyncio.Future[Any]"](), list[Any](), dict[str, str]()
    for number in range(120):
        key, value = dice.choice("abcd"), f"{number}"
        match dice.randrange(4):
            case 0:
                calls += start(storage.create(_entry(key, value)))
                expected.append(key not in model)
                model.setdefault(key, value)
            case 1:
                calls += start(storage.delete_session("s", key))
                expected.append(model.pop(key, None) is not None)
            case 2:
                calls += start(storage.save_session(_entry(key, value)))
                expected.append(None)
                model[key] = value
            case _:
                calls += start(storage.save_many([_entry(key, value)], keep_existing=True))
                expected.append(None)
                model.setdefault(key, value)
        if dice.random() < 0.1:
            await asyncio.sleep(0.001)
    assert await asyncio.gather(*calls) == expected
    assert {entry.key: entry.value for entry in await storage.load_sessions("s")} == model


async def test_another_unique_key_is_an_error(storage: StorageBackend, engine: AsyncEngine, tenant: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE UNIQUE INDEX ux_flow ON daemons (tenant_id, flow_name)"))
    try:
        assert await storage.create(sample(DaemonRow, tenant, name="a", flow_name="f"))
        with pytest.raises(QueryError):
            await storage.create(sample(DaemonRow, tenant, name="b", flow_name="f"))
        assert await storage.create(sample(DaemonRow, tenant, name="a", flow_name="g")) is False
    finally:
        async with engine.begin() as connection:
            on = " ON daemons" if engine.dialect.name in ("mysql", "mariadb") else ""
            await connection.execute(text(f"DROP INDEX ux_flow{on}"))


async def test_rows_that_exist_are_kept(storage: StorageBackend, tenant: str) -> None:
    old = [_entry(f"{number:04}", "old", tenant) for number in range(0, 3000, 2)]
    await storage.save_many(old)
    new = [_entry(f"{number:04}", "new", tenant) for number in range(3000)]
    twice = [replace(row, value="newer") for row in new]
    await storage.save_many([*new, *twice], keep_existing=True)
    values = [entry.value for entry in await storage.load_sessions("s")]
    assert values == ["old", "new"] * 1500
    rows = [sample(row_type, tenant) for row_type in ROW_TYPES]
    await storage.save_many(rows, keep_existing=True)
    await storage.save_many([_other(row) for row in rows], keep_existing=True)
    for row in rows:
        if type(row) in LOGS:
            assert await load(storage, type(row)) == [_other(row), row]
        else:
            assert await get(storage, row) == row


@pytest.mark.parametrize("row_type", [SessionRow, TraceRow])
async def test_concurrent_saves_that_keep_or_replace_a_row_take_effect_in_order(
    storage: StorageBackend, tenant: str, row_type: type[Row]
) -> None:
    names = ("value", "a", "b", "c", "d") if row_type is SessionRow else ("status", "a", "b", "c", "d")
    a, b, c, d = (sample(row_type, tenant, **{names[0]: name}) for name in names[1:])
    orders: list[list[tuple[Row, bool]]] = [
        [(a, True), (b, True)],
        [(a, False), (b, True)],
        [(a, True), (b, False)],
        [(c, True), (d, False), (a, True)],
    ]
    for order, expected in zip(orders, (a, a, b, d), strict=True):
        calls = start(*(storage.save_many([row], keep_existing=keep) for row, keep in order))
        await asyncio.gather(*calls)
        assert await load(storage, row_type) == [expected]
        await delete(storage, a)
