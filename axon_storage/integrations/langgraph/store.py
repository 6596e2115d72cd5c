"""AxonStore: LangGraph's long-term memory on a storage.

A namespace is one scope: ``langgraph-store`` and its labels, with periods between them, which no label contains. An
item is the record under its key, with its namespace, its key, its value, and the times of its first and its last put.
If it has a time to live, the entry whose key ends in ``t`` has the minutes and the time of expiry, so that a read can
extend it without writing the item.
"""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

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
from axon_storage.errors import InvalidArgumentError, SerializationError
from axon_storage.integrations.keys import SEPARATOR, after, end_of, escape, part, scope_of, text_of, unescape
from axon_storage.integrations.langgraph.blocking import running_loop, wait_for
from axon_storage.integrations.langgraph.matching import is_match, matches_namespace
from axon_storage.integrations.langgraph.records import record_rows, records_of
from axon_storage.model.rows import SessionRow

Namespace = tuple[str, ...]

_STORE = "langgraph-store"
_KEY_LENGTH = 249
_UNCUT = 190  # characters of a namespace that its scope has in any case


class _Stored(NamedTuple):
    """An item. ``minutes``: its time to live, from ``expires`` on it does not exist."""

    namespace: Namespace
    key: str
    value: dict[str, Any]
    created: str
    updated: str
    minutes: float | None = None
    expires: str | None = None


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
        given, results, puts = list(ops), list[Result](), dict[tuple[Namespace, str], PutOp]()
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
                    puts[op.namespace, op.key] = op
                    results.append(None)
        await self._put(puts.values())
        return results

    async def sweep_ttl(self) -> int:
        """Delete the expired items, and return their number. It reads all items."""
        count = 0
        async for scope, _ in self._scopes(()):
            for item in _items(await self.storage.load_sessions(scope)):
                if _is_expired(item):
                    await self._delete(item.namespace, item.key)
                    count += 1
        return count

    async def _get(self, op: GetOp) -> Item | None:
        item = await self._find(op.namespace, op.key)
        if item is None or _is_expired(item):
            return None
        await self._refresh([item] if op.refresh_ttl else [])
        return Item(**_public(item))

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        found = list[_Stored]()
        async for scope, namespace in self._scopes(op.namespace_prefix):
            if namespace[: len(op.namespace_prefix)] == op.namespace_prefix:
                found += _items(await self.storage.load_sessions(scope))
        found = [item for item in found if not _is_expired(item) and is_match(item.value, op.filter or {})]
        found.sort(key=lambda item: item.updated, reverse=True)
        found = found[op.offset : op.offset + op.limit]
        await self._refresh(found if op.refresh_ttl else [])
        return [SearchItem(**_public(item)) for item in found]

    async def _list_namespaces(self, op: ListNamespacesOp) -> list[Namespace]:
        conditions = op.match_conditions or ()
        found = set[Namespace]()
        async for _, namespace in self._scopes(_fixed_prefix(op)):
            if all(matches_namespace(namespace, each) for each in conditions):
                found.add(namespace[: op.max_depth])
        return sorted(found)[op.offset : op.offset + op.limit]

    async def _put(self, ops: Iterable[PutOp]) -> None:
        rows, now = list[SessionRow](), datetime.now(UTC)
        for op in ops:
            if op.value is None:
                await self._delete(op.namespace, op.key)
                continue
            old = await self._find(op.namespace, op.key)
            created = old.created if old is not None and not _is_expired(old) else now.isoformat()
            names = [[escape(label) for label in op.namespace], escape(op.key)]
            record = [*names, op.value, created, now.isoformat()]
            try:
                rows += record_rows(_scope(op.namespace), _key(op.key), record)
            except (TypeError, ValueError) as error:
                raise SerializationError(f"the value of item {op.key[:80]!r} is not JSON: {error}") from None
            if op.ttl is not None or (old is not None and old.minutes is not None):
                rows.append(_expiry_row(op.namespace, op.key, op.ttl, now))
        await self.storage.save_many(rows)

    async def _find(self, namespace: Namespace, key: str) -> _Stored | None:
        start = _key(key)
        return next(_items(await self.storage.load_sessions(_scope(namespace), start=start, end=after(start))), None)

    async def _delete(self, namespace: Namespace, key: str) -> None:
        start = _key(key)
        await self.storage.delete_sessions(_scope(namespace), start=start, end=after(start))

    async def _refresh(self, items: Iterable[_Stored]) -> None:
        now = datetime.now(UTC)
        rows = [_expiry_row(each.namespace, each.key, each.minutes, now) for each in items if each.minutes is not None]
        await self.storage.save_many(rows)

    async def _scopes(self, prefix: Namespace) -> AsyncIterator[tuple[str, Namespace]]:
        """Yield the scopes and the namespaces that begin with a prefix, and perhaps some others."""
        start = f"{_STORE}{SEPARATOR}{escape('.'.join(prefix))[:_UNCUT]}"
        for scope in await self.storage.session_scopes(start=start, end=end_of(start)):
            if (name := text_of(scope.partition(SEPARATOR)[2])) is not None:
                yield scope, tuple(name.split("."))
            elif (item := next(_items(await self.storage.load_sessions(scope)), None)) is not None:
                yield scope, item.namespace


def _items(rows: Sequence[SessionRow]) -> Iterator[_Stored]:
    """Yield the items with these entries."""
    records = dict(records_of(rows))
    for key, record in records.items():
        if SEPARATOR not in key:
            namespace, name, *others = record
            labels = tuple(unescape(label) for label in namespace)
            yield _Stored(labels, unescape(name), *others, *records.get(f"{key} t", ()))


def _public(item: _Stored) -> dict[str, Any]:
    times = {"created_at": datetime.fromisoformat(item.created), "updated_at": datetime.fromisoformat(item.updated)}
    return {"namespace": item.namespace, "key": item.key, "value": item.value, **times}


def _is_expired(item: _Stored) -> bool:
    return item.expires is not None and datetime.fromisoformat(item.expires) <= datetime.now(UTC)


def _scope(namespace: Namespace) -> str:
    return scope_of(_STORE, ".".join(namespace))


def _key(key: str) -> str:
    return part(key, _KEY_LENGTH)


def _expiry_row(namespace: Namespace, key: str, minutes: float | None, now: datetime) -> SessionRow:
    expires = None if minutes is None else (now + timedelta(minutes=minutes)).isoformat()
    value = json.dumps([minutes, expires])
    return SessionRow(scope=_scope(namespace), key=f"{_key(key)} t", value=value, source_step="")


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
