"""How long a call may take: the enclosing ``operation_timeout``, else the storage's own limit; and what bounds it."""

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, TypeVar

from axon_storage.errors import InvalidArgumentError, StorageConnectionError

T = TypeVar("T")

GRACE_SECONDS = 5.0
"""How long a call may take beyond its limit: for the answer to a COMMIT that is under way, and for a rollback."""

_AGAIN_SECONDS = 1.0  # after which a driver that has not ended a cancelled call is cancelled again

_limit: ContextVar[float | None] = ContextVar("axon_storage_operation_timeout", default=None)


@contextmanager
def operation_timeout(seconds: float) -> Iterator[None]:
    """Give every call inside the block, and in tasks started there, this many seconds; 0 or less is an error."""
    token = _limit.set(check_timeout(seconds))
    try:
        yield
    finally:
        _limit.reset(token)


def current_timeout(default: float) -> float:
    """The seconds a call that is made now may take."""
    return _limit.get() or default


def check_timeout(seconds: float) -> float:
    """Return a finite number of seconds above 0; anything else is an InvalidArgumentError."""
    if not 0 < seconds < inf:
        raise InvalidArgumentError("a timeout must be more than 0 seconds, and finite")
    return seconds


class Wait:
    """What a call waits for, for the message when that takes too long, and the means to end it early.

    ``own_task``: the task is this call's alone, so that nobody but the bound cancels it.
    """

    def __init__(self, what: str = "its turn", *, own_task: bool = False) -> None:
        self.what, self.own_task = what, own_task
        self.committing = False
        """Whether a COMMIT is under way, which the bound lets end for :data:`GRACE_SECONDS`."""
        self.grace_is_over = False
        """Whether it has had that time."""
        self.outlived_cancellation = False
        """Whether a cancellation came while :func:`finished` waited; the bound raises it at its end."""
        self._bound: _Bound | None = None
        self._expired = False

    def at_most(self, seconds: float) -> "_Bound":
        """Bound the block; a StorageConnectionError says what it waited for."""
        return _Bound(self, 0 if self._expired else seconds)

    def hold(self, bound: "_Bound") -> None:
        """Note the bound whose block has begun."""
        self._bound = bound

    def release(self) -> None:
        """Forget the bound whose block has ended, without waiting for the garbage collector."""
        self._bound = None

    def expire(self) -> None:
        """End the block now, as if its time were over; one that begins later ends at once."""
        self._expired = True
        if self._bound is not None:
            self._bound.expire()


class _Bound:
    """Cancels its block when the time is over.

    Not ``asyncio.timeout``, which cancels once: a driver may then wait for a server that no longer answers to
    acknowledge that the call is given up. The block is cancelled again until it ends.
    """

    def __init__(self, wait: Wait, seconds: float) -> None:
        self._wait, self._seconds = wait, seconds

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine runs in a task
        self._task, self._before, self._cancelled = task, task.cancelling(), 0
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._seconds, self.expire)
        self._wait.hold(self)

    def expire(self) -> None:
        """Cancel the block, and again after a second if it has not ended; a COMMIT that is under way may end first."""
        self._timer.cancel()
        if self._wait.committing and not self._wait.grace_is_over:
            self._wait.grace_is_over = True
            self._timer = self._loop.call_later(GRACE_SECONDS, self.expire)
            return
        self._cancelled += 1
        self._task.cancel()
        self._timer = self._loop.call_later(_AGAIN_SECONDS, self.expire)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._wait.release()
        self._timer.cancel()
        for _number in range(self._cancelled):
            self._task.uncancel()
        others = self._task.cancelling() > self._before
        if error is not None and self._cancelled and not others:
            message = f"not done within {self._seconds:g} s, waiting for {self._wait.what}"
            raise StorageConnectionError(message, transient=True) from None
        if error is None and self._wait.outlived_cancellation and others:
            raise asyncio.CancelledError


async def finished(work: Awaitable[T], wait: Wait) -> T:
    """Await work that must not be cut off half-way, for at most :data:`GRACE_SECONDS` after a cancellation.

    The cancellation is noted on ``wait``, whose bound raises it. After the grace the work is cancelled, again each
    second until it ends, and its outcome is unknown.
    """
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    while not task.done():
        ended = loop.create_future()  # not shield(), which takes three times as long
        task.add_done_callback(partial(_wake, ended))
        try:
            await ended
        except asyncio.CancelledError:
            if wait.grace_is_over:
                task.cancel()
            elif not wait.outlived_cancellation:
                wait.outlived_cancellation = True
                loop.call_later(GRACE_SECONDS, _cancel, task)
    return task.result()


def _cancel(task: "asyncio.Future[Any]") -> None:
    if not task.done():
        task.cancel()
        asyncio.get_running_loop().call_later(_AGAIN_SECONDS, _cancel, task)


def _wake(ended: "asyncio.Future[None]", _task: "asyncio.Future[Any]") -> None:
    if not ended.done():
        ended.set_result(None)
