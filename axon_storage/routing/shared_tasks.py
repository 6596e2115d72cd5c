"""SharedTasks: work that several calls need at the same time, and that is done once for all of them."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedTasks(Generic[T]):
    """Runs one task for each key at a time. The calls that wait for it go on in the order in which they began."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[T]] = {}

    async def run(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of the task of a key, which is started if none is running. It has no call's context."""
        if (task := self._tasks.get(key)) is None:
            task = self._tasks[key] = asyncio.create_task(work(), context=Context())
            task.add_done_callback(partial(self._has_ended, key))
        return await asyncio.shield(task)

    def _has_ended(self, key: str, task: asyncio.Task[T]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # marks it as retrieved, because every caller may have been cancelled
