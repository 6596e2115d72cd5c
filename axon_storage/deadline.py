"""How long a call may take: the enclosing ``operation_timeout``, else the storage's own limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
