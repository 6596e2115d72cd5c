"""AxonStore: calls that run side by side, and large numbers of items."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langgraph.store.base import PutOp

from axon_storage import SerializationError, StorageBackend, open_storage
from axon_storage.integrations.langgraph import AxonStore
from axon_storage.integrations.langgraph.items import PAGE, Place, StoredItem, extend, find, sweep

USER = ("memories", "user 1")
KEYS = [f"{number:03}" for number in range(40)]


@pytest.fixture
async def store(storage: StorageBackend) -> AxonStore:
    return AxonStore(storage)


@pytest.fixture
async def other(store: AxonStore, url: str) -> AsyncIterator[AxonStore]:
    """A store with the same items and connections of its own, like that of another process."""
    del store  # made first, with empty tables
    async with open_storage(url) as storage:
        yield AxonStore(storage.for_tenant("acme"))


async def stored(store: AxonStore, key: str) -> StoredItem | None:
    return await find(store.storage, Place(USER, key))


async def put_all(store: AxonStore, value: dict[str, Any], ttl: float | None) -> None:
    await asyncio.gather(*(store.aput(USER, key, value, ttl=ttl) for key in KEYS))


async def test_a_put_beside_reads_that_extend_the_time_to_live_is_permanent(store: AxonStore, other: AxonStore) -> None:
    await put_all(store, {"n": 1}, ttl=60)
    for key in KEYS:
        put = store.aput(USER, key, {"n": 2})
        await asyncio.gather(store.aget(USER, key), other.asearch(USER, limit=3), put, other.aget(USER, key))
    found = [await stored(store, key) for key in KEYS]
    assert [(item.value, item.expires) for item in found if item is not None] == [({"n": 2}, None)] * len(KEYS)


async def test_a_read_beside_a_delete_leaves_nothing(store: AxonStore, other: AxonStore) -> None:
    await put_all(store, {}, ttl=60)
    for key in KEYS:
        await asyncio.gather(store.aget(USER, key), store.adelete(USER, key), other.aget(USER, key))
    assert await store.storage.session_scopes() == []


async def test_a_sweep_does_not_delete_an_item_that_is_put_meanwhile(store: AxonStore, other: AxonStore) -> None:
    await put_all(store, {"n": 1}, ttl=-1)

    async def put() -> None:
        for key in reversed(KEYS):
            await store.aput(USER, key, {"n": 2})

    await asyncio.gather(store.sweep_ttl(), put(), other.sweep_ttl())
    assert [item.value for item in await store.asearch(USER, limit=100)] == [{"n": 2}] * len(KEYS)


@pytest.mark.parametrize("change", ["put", "delete"])
async def test_what_was_read_before_a_change_does_not_undo_it(store: AxonStore, change: str) -> None:
    await store.aput(USER, "long", {}, ttl=60)
    await store.aput(USER, "over", {}, ttl=-1)
    read = [item for key in ("long", "over") if (item := await stored(store, key)) is not None]
    value = {"n": 2} if change == "put" else None
    await store.abatch([PutOp(USER, item.place.key, value) for item in read])
    await extend(store.storage, read)
    assert await sweep(store.storage, read) == 0
    for item in read:
        found = await stored(store, item.place.key)
        assert (None if found is None else (found.value, found.expires)) == (None if value is None else (value, None))
    assert bool(await store.storage.session_scopes()) == (change == "put")


async def test_batches_of_the_same_items_in_any_order_do_not_fail(store: AxonStore, other: AxonStore) -> None:
    async def change(store: AxonStore, number: int) -> None:
        keys = KEYS[:10] if number % 2 else KEYS[9::-1]
        values = [None if (number + at) % 3 == 0 else {"n": number} for at, _ in enumerate(keys)]
        await store.abatch([PutOp(USER, key, value, ttl=60) for key, value in zip(keys, values, strict=True)])
        await store.asearch(USER)

    await asyncio.gather(*(change(each, number) for number in range(8) for each in (store, other)))
    await store.abatch([PutOp(USER, key, None) for key in KEYS])
    assert await store.storage.session_scopes() == []


async def test_a_batch_that_is_refused_changes_nothing(store: AxonStore) -> None:
    await store.aput(USER, "kept", {"n": 1})
    for value in ({"n": object()}, {"text": "\ud800"}):
        with pytest.raises(SerializationError):
            await store.abatch([PutOp(USER, "kept", None), PutOp(USER, "new", {}), PutOp(USER, "wrong", value)])
        assert [item.key for item in await store.asearch(USER)] == ["kept"]


async def test_a_namespace_of_several_pages_is_searched_and_swept(store: AxonStore) -> None:
    count = 2 * PAGE + PAGE // 2
    puts = [PutOp(USER, f"{n:04}", {"n": n}, ttl=-1 if n % 2 else None) for n in range(count)]
    await store.abatch(puts)
    large = f"{PAGE - 3:04}"  # its parts are the last entries of the first page, and the first of the second
    await store.aput(USER, large, {"text": "x" * (5 * 2**20)})
    newest, *_ = found = await store.asearch(USER, limit=count)
    assert len(newest.value["text"]) == 5 * 2**20
    assert sorted(int(item.key) for item in found) == sorted({*range(0, count, 2), int(large)})
    assert await store.asearch(USER, limit=5, offset=3) == found[3:8]
    assert await store.sweep_ttl() == count // 2 - 1
    assert len(await store.asearch(USER, limit=count)) == len(found)


async def test_a_search_of_many_items_keeps_few_in_memory(store: AxonStore) -> None:
    size, count = 10_000, 20 * PAGE
    for start in range(0, count, PAGE):
        await store.abatch([PutOp(USER, f"{start + n}", {"text": "x" * size}) for n in range(PAGE)])
    tracemalloc.start()
    try:
        assert len(await store.asearch(USER, limit=10)) == 10
        assert await store.sweep_ttl() == 0
        assert tracemalloc.get_traced_memory()[1] < 8 * PAGE * size < count * size
    finally:
        tracemalloc.stop()
