"""OpenStorages: storages that are opened when they are used, and closed when others need their place."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from axon_storage.backend import StorageBackend
from axon_storage.errors import InvalidArgumentError, StorageConnectionError

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Entry:
    """A storage, and the number of calls and transactions that use it now."""

    storage: StorageBackend
    users: int = 0


class OpenStorages:
    """At most ``limit`` storages by name. If all are in use, another one waits for up to ``seconds``.

    ``make``: returns the storage of a name, which opens itself at its first call.
    """

    def __init__(self, make: Callable[[str], StorageBackend], limit: int, seconds: float) -> None:
        if limit < 1:
            raise InvalidArgumentError("max_open must be at least 1")
        self._make, self._limit, self._seconds = make, limit, seconds
        self._entries: dict[str, _Entry] = {}  # the one that was used longest ago comes first
        self._closing: set[asyncio.Task[None]] = set()
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
        entry.users += 1
        try:
            yield entry.storage
        finally:
            entry.users -= 1
            self._freed.set()

    async def close(self) -> None:
        """Close all storages. Nothing uses them any more."""
        for name in list(self._entries):
            await self._close(name, self._entries.pop(name).storage)
        while self._closing:
            await asyncio.wait(self._closing)

    def _needs_room(self, name: str) -> bool:
        return name not in self._entries and len(self) >= self._limit

    async def _wait_for_room(self, name: str) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(self._seconds):
                while self._needs_room(name):
                    if len(self._closing) < self._waiting:
                        self._close_idle()
                    self._freed.clear()
                    await self._freed.wait()
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
            closing = asyncio.create_task(self._close(name, self._entries.pop(name).storage))
            self._closing.add(closing)
            closing.add_done_callback(self._has_closed)

    async def _close(self, name: str, storage: StorageBackend) -> None:
        try:
            await storage.close()
        except Exception as error:  # it must not fail the call of another tenant; its text may contain a secret
            _log.warning("the database %r: closing its storage failed: %s", name, type(error).__name__)

    def _has_closed(self, closing: asyncio.Task[None]) -> None:
        self._closing.discard(closing)
        self._freed.set()
