"""How long a call may take: the enclosing ``operation_timeout``, else the storage's own limit; and what bounds it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

from axon_storage.errors import StorageConnectionError

_GRACE_SECONDS = 1.0  # for a driver to give up a call

_limit: ContextVar[float | None] = ContextVar("axon_storage_operation_timeout", default=None)


@contextmanager
def operation_timeout(seconds: float) -> Iterator[None]:
    """Give every call inside the block, and in tasks started there, this many seconds; 0 or less is a ValueError."""
    token = _limit.set(check_timeout(seconds))
    try:
        yield
    finally:
        _limit.reset(token)


def current_timeout(default: float) -> float:
    """The seconds a call that is made now may take."""
    return _limit.get() or default


def check_timeout(seconds: float) -> float:
    """Give back a number of seconds above 0; anything else is a ValueError."""
    if not seconds > 0:
        raise ValueError("a timeout must be more than 0 seconds")
    return seconds


class Wait:
    """What a call waits for, for the message when that takes too long."""

    def __init__(self, what: str = "its turn") -> None:
        self.what = what

    def at_most(self, seconds: float) -> "_Bound":
        """Bound the block; a StorageConnectionError tells what it waited for."""
        return _Bound(self, seconds)


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
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expire)

    def _expire(self) -> None:
        self._cancelled += 1
        self._task.cancel()
        self._timer = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._expire)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._timer.cancel()
        for _number in range(self._cancelled):
            self._task.uncancel()
        if error is not None and self._cancelled and self._task.cancelling() <= self._before:
            message = f"not done within {self._seconds:g} s, waiting for {self._wait.what}"
            raise StorageConnectionError(message, transient=True) from None
