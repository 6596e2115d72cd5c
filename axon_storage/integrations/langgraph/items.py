"""Items: how the items of an AxonStore are stored as session entries, and how calls change them side by side.

A namespace is one scope, ``langgraph-store`` and its labels, with periods between them, which no label contains. An
item has these entries, the second with further parts if it is large:

=========  ==========================================================================================
``l KEY``  its lock, which has the namespace
``v KEY``  its key, its value, the times of its first and its last put, its time to live and its expiry
=========  ==========================================================================================

Calls, also those of other processes, do not undo each other, because of these rules:

1. Every transaction that changes an item writes its lock first. Others that do so wait until the transaction ends.
   ``save_many`` writes entries in the order of their keys, and ``l`` sorts before ``v``: a put is one call.
2. A change that depends on what an item is (a longer time to live, a sweep) reads the item again after it has written
   the lock, and in the same transaction.
3. A transaction writes all its locks at once, in the order of their keys. MySQL and MariaDB still report a deadlock now
   and then. Then the transaction is repeated.
4. The lock is deleted with the item. A scope without items has no entries.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from axon_storage.backend import StorageBackend
from axon_storage.errors import SerializationError, StorageError
from axon_storage.integrations.keys import SEPARATOR, after, end_of, escape, part, scope_of, text_of, unescape
from axon_storage.integrations.langgraph.records import record_rows, records_of
from axon_storage.model.rows import SessionRow

T = TypeVar("T")

Namespace = tuple[str, ...]

PAGE = 100
"""The number of entries that are read at a time."""

_STORE = "langgraph-store"
_KEY_LENGTH = 248
_UNCUT = 190  # characters of a namespace that its scope has in any case
_ATTEMPTS, _PAUSE = 8, 0.05  # seconds; as many attempts as a call of the storage has


class Place(NamedTuple):
    """Where an item is."""

    namespace: Namespace
    key: str

    @property
    def scope(self) -> str:
        """The scope of its namespace."""
        return _scope(self.namespace)

    @property
    def value_key(self) -> str:
        """The key of its first entry with the value, with which those of the further parts begin."""
        return f"v {part(self.key, _KEY_LENGTH)}"

    @property
    def lock(self) -> SessionRow:
        """The entry that is its lock."""
        key = f"l {part(self.key, _KEY_LENGTH)}"
        return SessionRow(scope=self.scope, key=key, value=escape(".".join(self.namespace)), source_step="")


class StoredItem(NamedTuple):
    """An item. ``minutes``: its time to live. From ``expires`` on it does not exist."""

    place: Place
    value: dict[str, Any]
    created: str
    updated: str
    minutes: float | None
    expires: str | None

    @property
    def is_expired(self) -> bool:
        """Whether its time to live is over."""
        return self.expires is not None and datetime.fromisoformat(self.expires) <= datetime.now(UTC)

    def rows(self) -> list[SessionRow]:
        """Return the entries with the value."""
        try:
            return record_rows(self.place.scope, self.place.value_key, [escape(self.place.key), *self[1:]])
        except (TypeError, ValueError) as error:
            raise SerializationError(f"the value of item {self.place.key[:80]!r} is not JSON: {error}") from None


def new_item(place: Place, value: dict[str, Any], minutes: float | None, old: StoredItem | None) -> StoredItem:
    """Return the item of a put. ``old``: the item that it replaces."""
    now = datetime.now(UTC)
    created = now.isoformat() if old is None or old.is_expired else old.created
    return StoredItem(place, value, created, now.isoformat(), minutes, _expiry(minutes, now))


async def find(storage: StorageBackend, place: Place) -> StoredItem | None:
    """Return an item, or None."""
    start = place.value_key
    rows = await storage.load_sessions(place.scope, start=start, end=after(start))
    return next(iter(_items(place.namespace, rows)), None)


async def pages(storage: StorageBackend, namespace: Namespace) -> AsyncIterator[list[StoredItem]]:
    """Yield the items of a namespace, some at a time."""
    scope, start = _scope(namespace), "v "
    while rows := await storage.load_sessions(scope, start=start, end=after("v"), limit=PAGE):
        *_, last = (number for number, row in enumerate(rows) if row.key.count(SEPARATOR) == 1)
        key = rows[last].key
        if len(rows) == PAGE:  # the last item may have further parts: one statement reads all of them
            rows[last:] = await storage.load_sessions(scope, start=key, end=after(key))
        yield _items(namespace, rows)
        start = after(key)


async def namespaces(storage: StorageBackend, prefix: Namespace) -> AsyncIterator[Namespace]:
    """Yield the namespaces that begin with a prefix, and perhaps some others."""
    start = f"{_STORE}{SEPARATOR}{escape('.'.join(prefix))[:_UNCUT]}"
    for scope in await storage.session_scopes(start=start, end=end_of(start)):
        if (name := text_of(scope.partition(SEPARATOR)[2])) is not None:
            yield tuple(name.split("."))
        elif locks := await storage.load_sessions(scope, limit=1):
            yield tuple(unescape(locks[0].value).split("."))


async def write(storage: StorageBackend, items: Collection[StoredItem], deleted: Collection[Place]) -> None:
    """Store items and delete others, all or nothing."""
    rows = [row for item in items for row in [item.place.lock, *item.rows()]]
    if not deleted:
        await storage.save_many(rows)
        return

    async def change(transaction: StorageBackend) -> None:
        await transaction.save_many([*(item.place.lock for item in items), *(place.lock for place in deleted)])
        await _delete(transaction, deleted)
        await transaction.save_many(rows)

    await _in_transaction(storage, change)


async def extend(storage: StorageBackend, read: Iterable[StoredItem]) -> None:
    """Let those of the items that have a time to live expire later, unless they were changed meanwhile."""
    places = [item.place for item in read if item.minutes is not None]

    async def change(transaction: StorageBackend) -> None:
        found = await _locked(transaction, places)
        now = datetime.now(UTC)
        current = [item for item in found if item.minutes is not None and not item.is_expired]
        longer = [item._replace(expires=_expiry(item.minutes, now)) for item in current]
        await transaction.save_many([row for item in longer for row in item.rows()])

    if places:
        await _in_transaction(storage, change)


async def sweep(storage: StorageBackend, read: Iterable[StoredItem]) -> int:
    """Delete those of the items that are expired, unless they were changed meanwhile; return their number."""
    places = [item.place for item in read if item.is_expired]

    async def change(transaction: StorageBackend) -> int:
        expired = [item.place for item in await _locked(transaction, places) if item.is_expired]
        await _delete(transaction, expired)
        return len(expired)

    return await _in_transaction(storage, change) if places else 0


async def _in_transaction(storage: StorageBackend, change: Callable[[StorageBackend], Awaitable[T]]) -> T:
    """Run a change, which can be repeated, in a transaction; repeat it after a transient error."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with storage.transaction() as transaction:
                return await change(transaction)
        except StorageError as error:
            if not error.transient or attempt == _ATTEMPTS:
                raise
        await asyncio.sleep(random.uniform(0, _PAUSE * attempt))  # noqa: S311  # not for cryptography
    raise AssertionError  # not reached


async def _locked(transaction: StorageBackend, places: Sequence[Place]) -> list[StoredItem]:
    """Lock items and return them, without those that do not exist."""
    await transaction.save_many([place.lock for place in places])
    found = {place: await find(transaction, place) for place in places}
    await _delete(transaction, [place for place, item in found.items() if item is None])
    return [item for item in found.values() if item is not None]


async def _delete(transaction: StorageBackend, places: Iterable[Place]) -> None:
    """Delete items whose locks the transaction has written."""
    for place in sorted(places, key=lambda place: (place.scope, place.value_key)):  # the order of all writers
        await transaction.delete_sessions(place.scope, start=place.value_key, end=after(place.value_key))
        await transaction.delete_session(place.scope, place.lock.key)


def _items(namespace: Namespace, rows: Iterable[SessionRow]) -> list[StoredItem]:
    """Return the items with these entries."""
    return [StoredItem(Place(namespace, unescape(key)), *record) for _, (key, *record) in records_of(rows)]


def _expiry(minutes: float | None, now: datetime) -> str | None:
    return None if minutes is None else (now + timedelta(minutes=minutes)).isoformat()


def _scope(namespace: Namespace) -> str:
    return scope_of(_STORE, ".".join(namespace))
