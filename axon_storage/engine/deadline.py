"""Deadline: a timeout for a block, whose error says what the block was waiting for.

Rules:

1. At the timeout the block is cancelled, and cancelled again every second until it ends. ``asyncio.timeout`` cancels
   only once, which is not enough, because a driver may handle the first cancellation by waiting for the server.
2. If a COMMIT is in progress, the timeout is extended once by ``grace_seconds``, because the outcome of a cancelled
   COMMIT is unknown.
3. The deadline's own cancellations become a TimedOutError. Other cancellations remain CancelledErrors.
"""

import asyncio
from collections.abc import Awaitable
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from axon_storage.engine.observer import CONNECTION_PHASE, DATABASE_PHASE, TURN_PHASE, Call
from axon_storage.errors import TimedOutError

T = TypeVar("T")

GRACE_SECONDS = 5.0
"""Additional seconds for a COMMIT or rollback that is in progress at the timeout of a call."""

_REPEAT_SECONDS = 1.0  # between two cancellations of the same block

CONNECTION, DATABASE, COMMIT = "a connection", "the database", "the answer to COMMIT, which may have been carried out"
"""Values of ``waiting_for``, as they appear in error messages."""

_PHASES = {CONNECTION: CONNECTION_PHASE, DATABASE: DATABASE_PHASE, COMMIT: DATABASE_PHASE}


class Deadline:
    """A context manager that cancels its block after ``seconds``, and raises an error that contains ``waiting_for``.

    ``own_task``: the block runs in a separate task, which only the deadline cancels.

    It can be entered only once. The code in the block updates ``waiting_for`` and ``committing``.
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

    @property
    def longest(self) -> float:
        """The seconds after which nothing of the block goes on in the database, with those of its COMMIT."""
        return self._seconds + self._grace_seconds

    def expire(self) -> None:
        """Cancel the block as if the timeout were reached. Do nothing if the block has ended."""
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
        task, self._task = self._task, None  # cleared to avoid a reference cycle with the task's exception
        self._timer.cancel()
        assert task is not None  # noqa: S101  # __enter__ has set it
        for _number in range(self._cancellations):
            task.uncancel()
        cancelled_by_others = task.cancelling() > self._cancelling_before
        if error is not None and self._cancellations and not cancelled_by_others:
            message = f"not done within {self._seconds:g} s, waiting for {self.waiting_for}"
            raise TimedOutError(message, transient=True) from None
        if error is None and self._cancelled_in_shield and cancelled_by_others:
            raise asyncio.CancelledError

    async def shield(self, work: Awaitable[T]) -> T:
        """Await work that should not be cancelled, such as a COMMIT.

        Unlike ``asyncio.shield``, this continues to wait after a cancellation, for up to ``grace_seconds``. The
        deadline raises the CancelledError at the end of its block. After ``grace_seconds`` the work itself is
        cancelled, repeatedly until it ends, and its outcome is unknown.
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


class TimedDeadline(Deadline):
    """A deadline that tells its call whenever the code in the block begins to wait for something else."""

    def __init__(self, seconds: float, *, call: Call, **options: Any) -> None:
        self._call = call
        super().__init__(seconds, **options)

    @property
    def waiting_for(self) -> str:
        """What the block waits for."""
        return self._waiting_for

    @waiting_for.setter
    def waiting_for(self, what: str) -> None:
        self._waiting_for = what
        self._call.enter(_PHASES.get(what, TURN_PHASE))


def _set_done(done: "asyncio.Future[None]", _task: "asyncio.Future[Any]") -> None:
    if not done.done():
        done.set_result(None)


def _cancel(task: "asyncio.Future[Any]") -> None:
    if not task.done():
        task.cancel()
        asyncio.get_running_loop().call_later(_REPEAT_SECONDS, _cancel, task)
