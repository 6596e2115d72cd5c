"""Deadline: cancels a block when its time is over, and says what it was waiting for.

Rules:

1. When the time is over, the block is cancelled, and again each second until it ends. ``asyncio.timeout`` cancels
   only once, which is not enough: a driver may handle the first cancellation by waiting for the server.
2. A COMMIT in progress gets ``grace_seconds`` more, once, since cancelling it would leave its outcome unknown.
3. The deadline's own cancellations become a StorageConnectionError. A cancellation from anywhere else stays a
   CancelledError.
"""

import asyncio
from collections.abc import Awaitable
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from axon_storage.errors import StorageConnectionError

T = TypeVar("T")

GRACE_SECONDS = 5.0
"""Seconds that a call may take beyond its time-out to end a COMMIT or a rollback."""

_REPEAT_SECONDS = 1.0  # between two cancellations of the same block

CONNECTION, DATABASE, COMMIT = "a connection", "the database", "the answer to COMMIT, which may have been carried out"
"""What most calls wait for, in the words of the error message."""


class Deadline:
    """A context manager that ends its block after ``seconds``, with an error that names ``waiting_for``.

    ``own_task``: the task belongs to this block, so that only the deadline cancels it.

    It can be entered once. Whatever runs inside keeps ``waiting_for`` and ``committing`` up to date.
    """

    def __init__(
        self,
        seconds: float,
        *,
        grace_seconds: float = GRACE_SECONDS,
        waiting_for: str = CONNECTION,
        own_task: bool = False,
    ) -> None:
        self.waiting_for, self.own_task = waiting_for, own_task
        self.committing = False
        """Whether a COMMIT is in progress."""
        self._seconds, self._grace_seconds = seconds, grace_seconds
        self._task: asyncio.Task[Any] | None = None
        self._cancellations = 0
        self._grace_used = False
        self._cancelled_in_shield = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine runs in a task
        self._task, self._cancelling_before = task, task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._seconds, self.expire)
        return self

    def expire(self) -> None:
        """End the block as if its time were over; nothing happens where it has ended already."""
        if self._task is None:
            return
        self._timer.cancel()
        if self.committing and not self._grace_used:
            self._grace_used = True
            self._timer = self._loop.call_later(self._grace_seconds, self.expire)
            return
        self._cancellations += 1
        self._task.cancel()
        self._timer = self._loop.call_later(_REPEAT_SECONDS, self.expire)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        task, self._task = self._task, None  # kept, it would make a reference cycle with the task's exception
        self._timer.cancel()
        assert task is not None  # noqa: S101  # __enter__ has set it
        for _number in range(self._cancellations):
            task.uncancel()
        cancelled_by_others = task.cancelling() > self._cancelling_before
        if error is not None and self._cancellations and not cancelled_by_others:
            message = f"not done within {self._seconds:g} s, waiting for {self.waiting_for}"
            raise StorageConnectionError(message, transient=True) from None
        if error is None and self._cancelled_in_shield and cancelled_by_others:
            raise asyncio.CancelledError

    async def shield(self, work: Awaitable[T]) -> T:
        """Await work that must not be interrupted, such as a COMMIT.

        Unlike ``asyncio.shield`` it waits for the work after a cancellation too, for ``grace_seconds``, and the
        deadline raises the CancelledError at the end of its block. After that time the work itself is cancelled, again
        each second until it ends, and its outcome is unknown.
        """
        task = asyncio.ensure_future(work)
        while not task.done():
            done = self._loop.create_future()  # asyncio.shield() takes three times as long
            task.add_done_callback(partial(_set_done, done))
            try:
                await done
            except asyncio.CancelledError:
                if self._grace_used:
                    task.cancel()
                elif not self._cancelled_in_shield:
                    self._cancelled_in_shield = True
                    self._loop.call_later(self._grace_seconds, _cancel, task)
        return task.result()


def _set_done(done: "asyncio.Future[None]", _task: "asyncio.Future[Any]") -> None:
    if not done.done():
        done.set_result(None)


def _cancel(task: "asyncio.Future[Any]") -> None:
    if not task.done():
        task.cancel()
        asyncio.get_running_loop().call_later(_REPEAT_SECONDS, _cancel, task)
