"""AxonSession: the memory of an agent of openai-agents, on a storage.

The items of a session are the entries of one scope. A key consists of the id of an ``add_items`` call, which begins
with its time, and the position of the item in the call. So items sort in the order in which they were added, the items
of a call stay together, and two processes never use one key.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agents import SessionSettings

from axon_storage.backend import StorageBackend
from axon_storage.errors import InvalidArgumentError, SerializationError
from axon_storage.integrations.keys import name_rows, scope_of
from axon_storage.model.ids import new_id
from axon_storage.model.rows import SessionRow
from axon_storage.transaction import Transaction

if TYPE_CHECKING:
    from agents import TResponseInputItem

KIND = "openai-agents"
"""The word that the scopes of sessions begin with."""

_FIRST_KEY = "0"  # the key of the session's full name sorts before it
_TIME_DIGITS = 16


class AxonSession:
    """The items of one conversation. It implements the ``Session`` protocol of openai-agents.

    ``session_id``: any text. ``storage``: any storage, a view for a tenant, the object of a ``transaction()``, or a
    :class:`LoopLocal <axon_storage.LoopLocal>`, which ``Runner.run_sync`` needs. ``session_settings``: its ``limit``
    is the default of :meth:`get_items`.

    Any number of objects, in any number of processes, can use one session at the same time::

        session = AxonSession("user 7", storage)
        await Runner.run(agent, "What is my name?", session=session)
    """

    def __init__(
        self,
        session_id: str,
        storage: StorageBackend,
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        if not isinstance(session_id, str):
            raise InvalidArgumentError(f"session_id must be a str, not a {type(session_id).__name__}")
        self.session_id = session_id
        self.session_settings: SessionSettings | None = SessionSettings().resolve(session_settings)
        self._storage = storage
        self._scope = scope_of(KIND, session_id)
        self._last_key = ""
        self._pops: dict[asyncio.AbstractEventLoop, _Pops] = {}

    async def get_items(self, limit: int | None = None) -> "list[TResponseInputItem]":
        """Return the last ``limit`` items, or all, oldest first."""
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        return [json.loads(row.value) for row in reversed(await self._last_rows(limit))]

    async def add_items(self, items: "list[TResponseInputItem]") -> None:
        """Store items after all others: either all of them or, if an error is raised, none."""
        values = [_json(item, position) for position, item in enumerate(items)]
        if not values:
            return
        call_id = self._new_call_id()
        rows = [
            SessionRow(scope=self._scope, key=f"{call_id}{position:06x}", value=value, source_step=KIND)
            for position, value in enumerate(values)
        ]
        self._last_key = rows[-1].key
        await self._storage.save_many([*name_rows(self._scope, self.session_id), *rows])

    async def pop_item(self) -> "TResponseInputItem | None":
        """Delete the last item and return it, or None if there is none. Concurrent calls never get the same item."""
        with self._candidates() as candidate:
            while row := await candidate():
                if await self._storage.delete_session(self._scope, row.key):
                    item: TResponseInputItem = json.loads(row.value)
                    return item
        return None

    async def clear_session(self) -> None:
        """Delete all items in one transaction."""
        if isinstance(self._storage, Transaction):
            await self._storage.delete_sessions(self._scope)
            return
        # A delete of a range would wait for those of other sessions, because group commit sends few at a time.
        async with self._storage.transaction() as transaction:
            await transaction.delete_sessions(self._scope)

    @contextmanager
    def _candidates(self) -> Iterator[Callable[[], Awaitable[SessionRow | None]]]:
        loop = asyncio.get_running_loop()
        pops = self._pops.setdefault(loop, _Pops(self._last_rows))
        try:
            with pops.call() as candidate:
                yield candidate
        finally:
            if not pops.calls:  # a loop that has no calls is not kept in memory
                self._pops.pop(loop, None)

    async def _last_rows(self, limit: int | None) -> list[SessionRow]:
        """Return the last rows, the last one first, and note its key: later items are added after it."""
        rows = await self._storage.load_sessions(self._scope, start=_FIRST_KEY, limit=limit, reverse=True)
        self._last_key = max([self._last_key, *(row.key for row in rows[:1])])
        return rows

    def _new_call_id(self) -> str:
        """Return a new id that sorts after every key that this object has seen, even if another clock was ahead."""
        made = new_id().hex
        if made > self._last_key:
            return made
        return f"{int(self._last_key[:_TIME_DIGITS], 16) + 1:0{_TIME_DIGITS}x}{made[_TIME_DIGITS:]}"


class _Pops:
    """The calls of ``pop_item`` of one session in one event loop. Those that wait at the same time share a read.

    Without it, each of them would read the same row, and all but one would fail to delete it. ``read``: returns the
    last rows, the last one first. ``calls``: the number of calls in progress.
    """

    def __init__(self, read: Callable[[int], Awaitable[list[SessionRow]]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._reads = 0
        self.calls = 0
        self._rows: list[SessionRow] = []

    @contextmanager
    def call(self) -> Iterator[Callable[[], Awaitable[SessionRow | None]]]:
        """Yield a function that returns a row for this call to delete, or None if there is none."""
        reads_before = self._reads

        async def candidate() -> SessionRow | None:
            async with self._lock:
                if not self._rows or self._reads == reads_before:  # a row that was read before the call may be old
                    self._reads += 1
                    self._rows = (await self._read(self.calls))[::-1]
                return self._rows.pop() if self._rows else None

        self.calls += 1
        try:
            yield candidate
        finally:
            self.calls -= 1


def _json(item: object, position: int) -> str:
    try:
        text = json.dumps(item, ensure_ascii=False, separators=(",", ":"))
        if not _is_unicode(text):
            text = json.dumps(item, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationError(f"item {position} is not JSON: {error}", operation="add_items") from error
    return text


def _is_unicode(text: str) -> bool:
    """Return whether a text has no lone surrogates, as models sometimes write; JSON must escape them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
