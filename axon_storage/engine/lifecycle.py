"""Lifecycle: tracks whether a storage is open, which process and event loop own it, and which tasks use it."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axon_storage.errors import ClosedError, QueryError, StorageConnectionError

CLOSED = "this storage is closed"


class _Process:
    """Caches the id of this process, because ``os.getpid()`` is a system call."""

    def __init__(self) -> None:
        self.id = os.getpid()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._update)

    def _update(self) -> None:
        self.id = os.getpid()


_process = _Process()


class Lifecycle:
    """The state of one storage: open or closed, its owner, and the tasks with a call in progress.

    The first call sets the owner: its process and event loop. All later calls must come from them.
    """

    def __init__(self) -> None:
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._tasks: list[asyncio.Task[Any] | None] = []
        self._idle = asyncio.Event()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the storage is closed."""
        return self._closed

    @property
    def is_forked(self) -> bool:
        """Whether this process was forked from the owner, which still owns the connections and tasks."""
        return self._owner is not None and self._owner[0] != _process.id

    @property
    def is_current(self) -> bool:
        """Whether the storage is open, and this process and event loop own it."""
        return not self._closed and self._owner == (_process.id, asyncio.get_running_loop())

    def check_usable(self, operation: str | None = None) -> asyncio.AbstractEventLoop:
        """Return the running event loop; raise if the storage is closed, or another process or event loop owns it."""
        if self._closed:
            raise ClosedError(CLOSED, operation=operation)
        loop = asyncio.get_running_loop()
        process, owner = self._owner = self._owner or (_process.id, loop)
        if process != _process.id:
            message = "this storage belongs to another process: open one after the fork"
            raise StorageConnectionError(message, operation=operation)
        if owner is not loop:
            message = "this storage belongs to another event loop: open one in this loop, or use a LoopLocal"
            raise StorageConnectionError(message, operation=operation)
        return loop

    def check_outside_call(self) -> None:
        """Raise a QueryError if this task is inside a transaction of the storage; ``close()`` would wait forever."""
        if asyncio.current_task() in self._tasks:
            message = "this task is inside a transaction of the storage: close the storage after the block"
            raise QueryError(message, operation="close")

    @contextmanager
    def call(self, operation: str | None = None) -> Iterator[None]:
        """Register the current task as having a call in progress. :meth:`close` waits for its end."""
        self.check_usable(operation)
        self._tasks.append(task := asyncio.current_task())
        try:
            yield
        finally:
            self._tasks.remove(task)
            if not self._tasks:
                self._idle.set()

    async def close(self) -> None:
        """Refuse further calls, and wait for calls in progress, except in a forked child."""
        self._closed = True
        if self._tasks and not self.is_forked:
            self._idle.clear()
            await self._idle.wait()
