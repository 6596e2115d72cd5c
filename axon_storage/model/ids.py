"""UUIDv7 ids whose order is the order of the calls that made them, also when the clock stands still or steps back."""

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
"""Gives nanoseconds since 1970-01-01 UTC, as :func:`time.time_ns` does."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LOW_BITS = 2**62 - 1
_LAST_MOMENT = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND


# Tells ids apart and keeps nothing secret: the system's own source costs a call of the system for each id. Not the
# module's generator, which a host may give a seed.
_random = random.Random()  # noqa: S311  # as said


class IdSource:
    """Makes ids from ``clock``, each later than the one before.

    Layout (RFC 9562, method 3): 48 bits of milliseconds, version 7, 10 bits for the microseconds within the
    millisecond, then random bits. The source runs ahead of a clock that stands still by one microsecond an id.
    """

    _lock: ClassVar[Lock] = Lock()  # one for all sources, so that a forked child has one to replace

    def __init__(self, clock: Clock = time.time_ns) -> None:
        self._clock = clock
        self._last = -1

    def __call__(self) -> UUID:
        """Give the next id."""
        now = self._clock() // 1000  # outside the lock, since a host's clock may take time or make ids itself
        with self._lock:
            self._last = moment = max(now, self._last + 1)
        millis, micros = divmod(moment, 1000)
        head = millis << 80 | 0x7 << 76 | micros << 66
        chance = _random.getrandbits(64)
        return UUID(int=head | chance >> 62 << 64 | 0b10 << 62 | chance & _LOW_BITS)


def _in_forked_child() -> None:
    """Start the child with a lock that nobody holds, and with random bits of its own from the system's source."""
    IdSource._lock = Lock()  # another thread of the parent may have held the old one, and does not exist here
    _random.seed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)


new_id = IdSource()
"""Make a UUIDv7 later than every other this process has made."""


def timestamp_of(row_id: UUID) -> datetime:
    """The UTC moment an id was made at, to the microsecond."""
    millis, micros = row_id.int >> 80, row_id.int >> 66 & 0x3FF
    return EPOCH + (millis * 1000 + min(micros, 999)) * _MICROSECOND


def first_id(moment: datetime) -> UUID:
    """The smallest id of a moment; of one before 1970, that of 1970's first."""
    millis, micros = divmod(max(0, (moment - EPOCH) // _MICROSECOND), 1000)
    return UUID(int=millis << 80 | 0x7 << 76 | micros << 66)


def current_timestamp(clock: Clock) -> datetime:
    """The UTC moment a clock gives, to the microsecond."""
    return EPOCH + clock() // 1000 * _MICROSECOND


def check_id(row_id: UUID) -> UUID:
    """Return a UUIDv7 up to the year 9999; anything else is an InvalidArgumentError, since ids carry the order."""
    if not isinstance(row_id, UUID) or row_id.version != 7:
        raise InvalidArgumentError("id: not a UUIDv7; use new_id()")
    if (row_id.int >> 80) * 1000 > _LAST_MOMENT:
        raise InvalidArgumentError("id: a moment after the year 9999; use new_id()")
    return row_id
