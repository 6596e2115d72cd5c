"""UUIDv7 ids, strictly increasing within a process, even if the clock stops or steps back."""

import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import ClassVar
from uuid import UUID

from axon_storage.errors import InvalidArgumentError

Clock = Callable[[], int]
"""Function that returns nanoseconds since 1970-01-01 UTC, as :func:`time.time_ns` does."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LOW_BITS = 2**62 - 1
_MAX_MICROSECONDS = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND


# The random bits only keep ids distinct, so they need not be secret: os.urandom would cost a system call for each id.
# The generator of the random module is not used, because the application may seed it.
_random = random.Random()  # noqa: S311  # not used for security


class IdSource:
    """Creates ids from ``clock``, each greater than the one before.

    Layout (RFC 9562, section 6.2, method 3): 48 bits of milliseconds, the version, 10 bits of microseconds within the
    millisecond, then random bits. If the clock stands still, each id is one microsecond ahead of the one before.
    """

    _lock: ClassVar[Lock] = Lock()  # shared by all sources, so that a forked child has only one to replace

    def __init__(self, clock: Clock = time.time_ns) -> None:
        self._clock = clock
        self._last = -1

    def __call__(self) -> UUID:
        """Return the next id."""
        now = self._clock() // 1000  # outside the lock: an application's clock may take time or create ids itself
        with self._lock:
            self._last = micros_since_epoch = max(now, self._last + 1)
        millis, micros = divmod(micros_since_epoch, 1000)
        head = millis << 80 | 0x7 << 76 | micros << 66
        bits = _random.getrandbits(64)
        return UUID(int=head | bits >> 62 << 64 | 0b10 << 62 | bits & _LOW_BITS)


def _in_forked_child() -> None:
    """Create a new lock and a new random seed in a forked child."""
    IdSource._lock = Lock()  # a thread that does not exist in the child may have held the old lock at the fork
    _random.seed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)


new_id = IdSource()
"""Return a new UUIDv7, greater than every id that this function returned before in this process."""


def timestamp_of(row_id: UUID) -> datetime:
    """Return the UTC time at which an id was created, to the microsecond."""
    millis, micros = row_id.int >> 80, row_id.int >> 66 & 0x3FF
    return EPOCH + (millis * 1000 + min(micros, 999)) * _MICROSECOND


def first_id(timestamp: datetime) -> UUID:
    """Return the smallest id of a timestamp. Timestamps before 1970 are treated as 1970-01-01."""
    millis, micros = divmod(max(0, (timestamp - EPOCH) // _MICROSECOND), 1000)
    return UUID(int=millis << 80 | 0x7 << 76 | micros << 66)


def current_timestamp(clock: Clock) -> datetime:
    """Return the current UTC time of a clock, to the microsecond."""
    return EPOCH + clock() // 1000 * _MICROSECOND


def check_id(row_id: UUID, name: str = "id", hint: str = "use new_id()") -> UUID:
    """Return ``row_id``; raise an InvalidArgumentError unless it is a UUIDv7 up to the year 9999.

    ``name``: the argument that contains it. ``hint``: what to pass instead.
    """
    if not isinstance(row_id, UUID) or row_id.version != 7:
        raise InvalidArgumentError(f"{name}: not a UUIDv7; {hint}")
    if (row_id.int >> 80) * 1000 > _MAX_MICROSECONDS:
        raise InvalidArgumentError(f"{name}: a time after the year 9999; {hint}")
    return row_id
