"""AxonStore: LangGraph's long-term memory on a storage."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from heapq import nlargest
from operator import attrgetter
from typing import Any

from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)

from axon_storage.backend import StorageBackend
from axon_storage.errors import InvalidArgumentError
from axon_storage.integrations.langgraph import items
from axon_storage.integrations.langgraph.blocking import running_loop, wait_for
from axon_storage.integrations.langgraph.items import Namespace, Place, StoredItem
from axon_storage.integrations.langgraph.matching import is_match, matches_namespace


class AxonStore(BaseStore):
    """A LangGraph store on any storage of this package, without vectors: it refuses searches with a ``query``.

    The tenant is that of the storage. The synchronous methods can be called in threads other than that of the event
    loop in which the store was made. ``ttl``: LangGraph's defaults for times to live.
    """

    supports_ttl = True

    def __init__(self, storage: StorageBackend, *, ttl: TTLConfig | None = None) -> None:
        self.storage, self.ttl_config = storage, ttl
        self.loop = running_loop()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations, from a thread other than that of the event loop."""
        return wait_for(self.loop, self.abatch(ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations. The reads find what was stored before the puts; of puts to one key the last one counts."""
        given, results, puts = list(ops), list[Result](), dict[Place, PutOp]()
        for op in given:
            _check(op)
        for op in given:
            match op:
                case GetOp():
                    results.append(await self._get(op))
                case SearchOp():
                    results.append(await self._search(op))
                case ListNamespacesOp():
                    results.append(await self._list_namespaces(op))
                case PutOp():
                    puts[Place(op.namespace, op.key)] = op
                    results.append(None)
        await self._put(puts)
        return results

    async def sweep_ttl(self) -> int:
        """Delete the expired items, and return their number. It reads all items, some at a time."""
        return sum([await items.sweep(self.storage, page) async for page in self._pages(())])

    async def _get(self, op: GetOp) -> Item | None:
        item = await items.find(self.storage, Place(op.namespace, op.key))
        if item is None or item.is_expired:
            return None
        await items.extend(self.storage, [item] if op.refresh_ttl else [])
        return Item(**_public(item))

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        found, last = list[StoredItem](), op.offset + op.limit
        async for page in self._pages(op.namespace_prefix):
            matches = [item for item in page if not item.is_expired and is_match(item.value, op.filter or {})]
            found = nlargest(last, found + matches, key=attrgetter("updated"))
        found = found[op.offset :]
        await items.extend(self.storage, found if op.refresh_ttl else [])
        return [SearchItem(**_public(item)) for item in found]

    async def _list_namespaces(self, op: ListNamespacesOp) -> list[Namespace]:
        conditions = op.match_conditions or ()
        found = set[Namespace]()
        async for namespace in items.namespaces(self.storage, _fixed_prefix(op)):
            if all(matches_namespace(namespace, each) for each in conditions):
                found.add(namespace[: op.max_depth])
        return sorted(found)[op.offset : op.offset + op.limit]

    async def _put(self, puts: dict[Place, PutOp]) -> None:
        stored, deleted = list[StoredItem](), list[Place]()
        for place, op in puts.items():
            if op.value is None:
                deleted.append(place)
            else:
                old = await items.find(self.storage, place)
                stored.append(items.new_item(place, dict(op.value), op.ttl, old))
        await items.write(self.storage, stored, deleted)

    async def _pages(self, prefix: Namespace) -> AsyncIterator[list[StoredItem]]:
        """Yield the items below a prefix, some at a time."""
        async for namespace in items.namespaces(self.storage, prefix):
            if namespace[: len(prefix)] == prefix:
                async for page in items.pages(self.storage, namespace):
                    yield page


def _public(item: StoredItem) -> dict[str, Any]:
    times = {"created_at": datetime.fromisoformat(item.created), "updated_at": datetime.fromisoformat(item.updated)}
    return {"namespace": item.place.namespace, "key": item.place.key, "value": item.value, **times}


def _fixed_prefix(op: ListNamespacesOp) -> Namespace:
    """Return the labels with which all namespaces of the result begin."""
    for condition in op.match_conditions or ():
        if condition.match_type == "prefix":
            labels = list(condition.path)
            return tuple(labels[: labels.index("*")] if "*" in labels else labels)
    return ()


def _check(op: Op) -> None:
    """Refuse what this store cannot do, before anything is sent."""
    match op:
        case SearchOp(query=str()):
            raise InvalidArgumentError("AxonStore has no vector search: leave out query, or use filter")
        case PutOp(index=list()):
            raise InvalidArgumentError("AxonStore has no vectors: leave out index")
        case PutOp() | GetOp() if not op.namespace or not all(each and "." not in each for each in op.namespace):
            raise InvalidArgumentError("a namespace has at least one label, and no label is empty or has a period")
