"""AxonStore: items in namespaces, filters, patterns, and times to live."""

import asyncio
from typing import Any

import pytest
from langgraph.store.base import GetOp, PutOp, SearchOp

from axon_storage import InvalidArgumentError, SerializationError, StorageBackend
from axon_storage.integrations.langgraph import AxonStore
from axon_storage.integrations.langgraph.items import Place, find

USER = ("memories", "user 1")


@pytest.fixture
async def store(storage: StorageBackend) -> AxonStore:
    return AxonStore(storage)


LONG = "x" * 1000


@pytest.mark.parametrize("key", ["k", "", "a b", "\0\ud800 ☕", LONG])
@pytest.mark.parametrize("namespace", [USER, ("a",), (" \ud800!", "☕"), (LONG, "b")])
async def test_an_item_is_read_as_it_was_put(store: AxonStore, namespace: tuple[str, ...], key: str) -> None:
    value = {"text": "☕\0", "number": 2**70, "list": [1.5, None, True, {"a": "b"}]}
    await store.aput(namespace, key, value)
    found = await store.aget(namespace, key)
    assert found is not None
    assert (found.namespace, found.key, found.value) == (namespace, key, value)
    assert [item.key for item in await store.asearch(namespace)] == [key]
    assert await store.alist_namespaces(prefix=namespace[:1]) == [namespace]
    await store.adelete(namespace, key)
    assert await store.aget(namespace, key) is None
    assert await store.alist_namespaces() == []


async def test_a_value_of_any_size_is_kept(store: AxonStore) -> None:
    for size in (9 * 2**20, 3 * 2**20, 10):  # a larger value first
        await store.aput(USER, "k", {"text": "x" * size})
        found = await store.aget(USER, "k")
        assert found is not None
        assert len(found.value["text"]) == size
    await store.adelete(USER, "k")
    assert await store.storage.session_scopes() == []


async def test_a_second_put_keeps_the_time_of_the_first(store: AxonStore) -> None:
    await store.aput(USER, "k", {"n": 1})
    first = await store.aget(USER, "k")
    await store.aput(USER, "k", {"n": 2})
    second = await store.aget(USER, "k")
    assert first is not None
    assert second is not None
    assert second.created_at == first.created_at < second.updated_at
    assert second.value == {"n": 2}


async def test_search_finds_the_items_below_a_prefix_the_last_put_first(store: AxonStore) -> None:
    places = [("a",), ("a", "b"), ("a", "b", "c"), ("a-", "b"), ("ab",), ("b",)]
    for number, namespace in enumerate(places):
        await store.aput(namespace, "k", {"n": number})
    found = {prefix: [item.value["n"] for item in await store.asearch(prefix)] for prefix in [(), *places[:2]]}
    assert found == {(): [5, 4, 3, 2, 1, 0], ("a",): [2, 1, 0], ("a", "b"): [2, 1]}
    assert [item.value["n"] for item in await store.asearch((), limit=2, offset=1)] == [4, 3]


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({"kind": "odd"}, [1, 3]),
        ({"n": {"$gt": 1}}, [2, 3]),
        ({"n": {"$gte": 1, "$lt": 3}}, [1, 2]),
        ({"n": {"$lte": 0}}, [0]),
        ({"kind": {"$ne": "odd"}, "n": {"$eq": 2}}, [2]),
        ({"nested": {"a": 1}}, [0, 1, 2, 3]),
        ({"missing": {"$gt": 1}}, []),
        ({"missing": None}, [0, 1, 2, 3]),
    ],
)
async def test_search_filters_values(store: AxonStore, wanted: dict[str, Any], numbers: list[int]) -> None:
    for n in range(4):
        await store.aput(USER, f"{n}", {"n": n, "kind": "odd" if n % 2 else "even", "nested": {"a": 1}})
    assert sorted(item.value["n"] for item in await store.asearch(USER, filter=wanted)) == numbers


async def test_namespaces_are_listed_by_pattern_and_depth(store: AxonStore) -> None:
    places = [("a", "x", "v1"), ("a", "y", "v1"), ("a", "y", "v2"), ("b", "x"), ("a-", "x")]
    for namespace in places:
        await store.aput(namespace, "k", {})
    assert await store.alist_namespaces() == sorted(places)
    assert await store.alist_namespaces(prefix=("a",)) == places[:3]
    assert await store.alist_namespaces(prefix=("a", "*", "v1")) == places[:2]
    assert await store.alist_namespaces(suffix=("x",)) == [("a-", "x"), ("b", "x")]
    assert await store.alist_namespaces(suffix=("*", "v1"), prefix=("a", "y")) == [("a", "y", "v1")]
    assert await store.alist_namespaces(max_depth=2) == [("a", "x"), ("a", "y"), ("a-", "x"), ("b", "x")]
    assert await store.alist_namespaces(limit=2, offset=1) == [("a", "y", "v1"), ("a", "y", "v2")]


async def test_an_item_expires_and_can_be_swept(store: AxonStore) -> None:
    await store.aput(USER, "gone", {}, ttl=-1)
    await store.aput(USER, "stays", {}, ttl=60)
    await store.aput(USER, "forever", {})
    assert await store.aget(USER, "gone") is None
    assert {item.key for item in await store.asearch(USER)} == {"stays", "forever"}
    assert await store.sweep_ttl() == 1
    assert await store.sweep_ttl() == 0
    assert await store.aget(USER, "stays") is not None


async def test_a_read_extends_the_time_to_live_unless_it_is_not_to(store: AxonStore) -> None:
    await store.aput(USER, "k", {}, ttl=60)

    async def expiry() -> str:
        item = await find(store.storage, Place(USER, "k"))
        assert item is not None
        return str(item.expires)

    first = await expiry()
    await store.aget(USER, "k", refresh_ttl=False)
    assert await expiry() == first
    await store.aget(USER, "k")
    second = await expiry()
    assert second > first
    await store.asearch(USER)
    assert await expiry() > second
    await store.aput(USER, "k", {})  # a put without a time to live ends it
    assert await expiry() == "None"


async def test_an_expired_item_that_is_put_again_is_new(store: AxonStore) -> None:
    await store.aput(USER, "k", {"n": 1}, ttl=-1)
    await store.aput(USER, "k", {"n": 2})
    found = await store.aget(USER, "k")
    assert found is not None
    assert found.created_at == found.updated_at


async def test_a_batch_reads_before_it_puts_and_the_last_put_counts(store: AxonStore) -> None:
    await store.aput(USER, "k", {"n": 0})
    put = [PutOp(USER, "k", {"n": 1}), PutOp(USER, "k", {"n": 2}), PutOp(USER, "other", None)]
    results = await store.abatch([*put, GetOp(USER, "k"), SearchOp(USER)])
    assert results[:3] == [None, None, None]
    assert results[3].value == {"n": 0}  # type: ignore[union-attr]
    found = await store.aget(USER, "k")
    assert found is not None
    assert found.value == {"n": 2}


async def test_what_the_store_cannot_do_is_refused(store: AxonStore) -> None:
    with pytest.raises(InvalidArgumentError, match="no vector search"):
        await store.asearch(USER, query="cats")
    with pytest.raises(InvalidArgumentError, match="no vectors"):
        await store.aput(USER, "k", {}, index=["text"])
    with pytest.raises(InvalidArgumentError, match="label"):
        await store.abatch([PutOp(("a.b",), "k", {})])
    with pytest.raises(InvalidArgumentError, match="operator '\\$in'"):
        await store.aput(USER, "k", {"n": 1})
        await store.asearch(USER, filter={"n": {"$in": [1]}})
    with pytest.raises(SerializationError, match="item 'k' is not JSON"):
        await store.aput(USER, "k", {"n": object()})
    with pytest.raises(SerializationError, match="lone surrogate"):
        await store.aput(USER, "k", {"text": "\ud800"})


async def test_the_synchronous_methods_work_in_other_threads(store: AxonStore) -> None:
    await asyncio.to_thread(store.put, USER, "k", {"n": 1})
    found = await asyncio.to_thread(store.get, USER, "k")
    assert found is not None
    assert found.value == {"n": 1}
    assert len(await asyncio.to_thread(store.search, USER)) == 1
    with pytest.raises(asyncio.InvalidStateError, match="would block its event loop"):
        store.get(USER, "k")
