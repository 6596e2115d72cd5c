"""Deadlines: the timeouts of queued writes.

Writes are grouped into one set per tenth of a second, and one timer checks the sets. A timer of the event loop for
each write would take more time than all other work for a queued write.
"""

import asyncio
from collections.abc import Callable

from axon_storage.engine.group_commit.batch import QueuedWrite

_TICKS = 10  # per second


class Deadlines:
    """Calls ``expire`` for each write whose deadline has passed, at most a tenth of a second late."""

    def __init__(self, expire: Callable[[QueuedWrite], None]) -> None:
        self._expire = expire
        self._expiring: dict[int, set[QueuedWrite]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, queued: QueuedWrite, loop: asyncio.AbstractEventLoop) -> None:
        """Add a write."""
        tick = int(queued.deadline * _TICKS) + 1
        expiring = self._expiring.get(tick)
        if expiring is None:
            expiring = self._expiring[tick] = set()
        expiring.add(queued)
        queued.expiring = expiring
        if self._timer is None:
            self._timer = loop.call_later(1 / _TICKS, self._tick, loop)

    def remove(self, queued: QueuedWrite) -> None:
        """Remove a write."""
        if queued.expiring is not None:
            queued.expiring.discard(queued)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time() * _TICKS
        for tick in [tick for tick, expiring in self._expiring.items() if tick <= now or not expiring]:
            for queued in self._expiring.pop(tick):
                self._expire(queued)
        self._timer = loop.call_later(1 / _TICKS, self._tick, loop) if self._expiring else None
