"""OpenStorages: storages that are opened when they are used, and closed when others need their place."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from axon_storage.backend import StorageBackend
from axon_storage.engine.timeouts import current_timeout
from axon_storage.errors import InvalidArgumentError, StorageConnectionError

_log = logging.getLogger(__name__)

_SILENT_SECONDS = 2.0
"""After this time without the end of a call a storage that is in use no longer counts towards the limit."""


@dataclass(slots=True)
class _Entry:
    """A storage, the number of calls and transactions that use it now, and since when none of them has ended."""

    storage: StorageBackend
    users: int = 0
    since: float = 0.0

    @property
    def is_silent(self) -> bool:
        """Whether it is in use, or being closed, and nothing has ended for a while: its database may not answer."""
        return self.users > 0 and time.monotonic() - self.since > _SILENT_SECONDS


class OpenStorages:
    """At most ``limit`` storages by name. If all are in use, another one waits for up to ``seconds``.

    Storages whose databases do not answer do not count, so that they do not hold up the others.

    ``make``: returns the storage of a name, which opens itself at its first call.
    """

    def __init__(self, make: Callable[[str], StorageBackend], limit: int, seconds: float) -> None:
        if limit < 1:
            raise InvalidArgumentError("max_open must be at least 1")
        self._make, self._limit, self._seconds = make, limit, seconds
        self._entries: dict[str, _Entry] = {}  # the one that was used longest ago comes first
        self._closing: dict[asyncio.Task[None], _Entry] = {}
        self._waiting = 0
        self._freed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries) + len(self._closing)

    @asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[StorageBackend]:
        """Return the storage of a name for a block. It is not closed during the block."""
        if self._needs_room(name):
            await self._wait_for_room(name)
        entry = self._entries.pop(name, None) or _Entry(self._make(name))
        self._entries[name] = entry
        if not entry.users:
            entry.since = time.monotonic()
        entry.users += 1
        try:
            yield entry.storage
        finally:
            entry.users -= 1
            entry.since = time.monotonic()
            self._freed.set()

    async def close(self) -> None:
        """Close all storages. Nothing uses them any more."""
        for name in list(self._entries):
            await self._close(name, self._entries.pop(name).storage)
        while self._closing:
            await asyncio.wait(self._closing)

    def _needs_room(self, name: str) -> bool:
        return name not in self._entries and len(self) >= self._limit + self._silent()

    def _silent(self) -> int:
        return sum(entry.is_silent for entry in (*self._entries.values(), *self._closing.values()))

    async def _wait_for_room(self, name: str) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(min(self._seconds, current_timeout(self._seconds))):
                while self._needs_room(name):
                    if sum(not entry.is_silent for entry in self._closing.values()) < self._waiting:
                        self._close_idle()
                    self._freed.clear()
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._freed.wait(), _SILENT_SECONDS / 4)
        except TimeoutError:
            message = f"all {self._limit} storages are in use: raise max_open, or use fewer databases at the same time"
            raise StorageConnectionError(message, transient=True) from None
        finally:
            self._waiting -= 1

    def _close_idle(self) -> None:
        """Begin to close the storage that was used longest ago, unless all are in use.

        A task closes it, which goes on if the call that needs the place is cancelled.
        """
        name = next((name for name, entry in self._entries.items() if not entry.users), None)
        if name is not None:
            entry = self._entries.pop(name)
            entry.users, entry.since = 1, time.monotonic()
            closing = asyncio.create_task(self._close(name, entry.storage))
            self._closing[closing] = entry
            closing.add_done_callback(self._has_closed)

    async def _close(self, name: str, storage: StorageBackend) -> None:
        try:
            await storage.close()
        except Exception as error:  # it must not fail the call of another tenant; its text may contain a secret
            _log.warning("the database %r: closing its storage failed: %s", name, type(error).__name__)

    def _has_closed(self, closing: asyncio.Task[None]) -> None:
        del self._closing[closing]
        self._freed.set()
