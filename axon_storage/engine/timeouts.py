"""How long a call may take: the enclosing ``operation_timeout``, else the storage's own limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

from axon_storage.errors import InvalidArgumentError

DEFAULT_TIMEOUT = 60.0
"""Seconds a call may take, all its attempts together."""

_timeout: ContextVar[float | None] = ContextVar("axon_storage_operation_timeout", default=None)


@contextmanager
def operation_timeout(seconds: float) -> Iterator[None]:
    """Give every call inside the block, and in tasks started there, this many seconds; 0 or less is an error."""
    token = _timeout.set(check_timeout(seconds))
    try:
        yield
    finally:
        _timeout.reset(token)


def current_timeout(default: float) -> float:
    """Return the seconds that a call made now may take."""
    return _timeout.get() or default


def check_timeout(seconds: float) -> float:
    """Return a finite number of seconds above 0; anything else is an InvalidArgumentError."""
    if not 0 < seconds < inf:
        raise InvalidArgumentError("a timeout must be more than 0 seconds, and finite")
    return seconds
