"""The timeout of a call: the enclosing ``operation_timeout``, otherwise the option of the storage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf

from axon_storage.errors import InvalidArgumentError

DEFAULT_TIMEOUT = 60.0
"""The default timeout of a call in seconds, including retries."""

STATEMENT_MARGIN = 15.0
"""Seconds after the timeout of a call, and the grace of its COMMIT, after which a server ends its statements."""

IDLE_TRANSACTION_TIMEOUT = 300.0
"""The default of the seconds after which a server ends a transaction whose client sends nothing."""

_SHORTEST = 0.001  # a timeout is more than 0

_timeout: ContextVar[float | None] = ContextVar("axon_storage_operation_timeout", default=None)


@contextmanager
def operation_timeout(seconds: float) -> Iterator[None]:
    """Set the timeout of calls inside the block, and in tasks started there, in seconds (finite and more than 0)."""
    token = _timeout.set(check_timeout(seconds))
    try:
        yield
    finally:
        _timeout.reset(token)


def current_timeout(default: float) -> float:
    """Return the timeout of a call made now, in seconds."""
    return _timeout.get() or default


@contextmanager
def rest_of_timeout(seconds: float, begin: float) -> Iterator[None]:
    """Leave calls inside the block the rest of a timeout that began at a time of ``time.monotonic()``."""
    with operation_timeout(max(begin + seconds - time.monotonic(), _SHORTEST)):
        yield


def check_timeout(seconds: float) -> float:
    """Return ``seconds``; raise an InvalidArgumentError unless it is finite and more than 0."""
    if not 0 < seconds < inf:
        raise InvalidArgumentError("a timeout must be more than 0 seconds, and finite")
    return seconds
