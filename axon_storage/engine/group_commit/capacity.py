"""Capacity: limits the number and size of queued writes. Callers wait until there is room.

Rules:

1. Writes are counted in rows and bytes. While the totals are below the limits, a write of any size is admitted.
2. When a limit is reached, further callers wait, and are admitted in order of arrival.
3. A woken caller leaves the waiting list and is counted in the same step of the event loop. Only then is the next
   caller woken.
"""

from collections import deque
from typing import TYPE_CHECKING, Any

from axon_storage.sql.writes import PreparedWrite

if TYPE_CHECKING:
    import asyncio


class Capacity:
    """Limits the number and size of queued writes.

    ``max_rows``, ``max_bytes``: if one of them is reached, further callers wait. ``rows``, ``bytes``: the totals.
    """

    def __init__(self, max_rows: int = 10_000, max_bytes: int = 2**24) -> None:
        self.max_rows, self.max_bytes = max_rows, max_bytes
        self.rows = self.bytes = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether another caller has to wait."""
        return self.rows >= self.max_rows or self.bytes >= self.max_bytes or bool(self._waiters)

    async def wait(self, waiter: "asyncio.Future[None]") -> None:
        """Wait until ``waiter`` is resolved, by this object when there is room, or by other code."""
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            self._waiters.remove(waiter)
            self._wake_first()
            raise
        self._waiters.remove(waiter)

    def add(self, write: PreparedWrite[Any]) -> None:
        """Add a write to the totals."""
        self.rows += write.row_count
        self.bytes += write.size
        if self._waiters:
            self._wake_first()

    def remove(self, write: PreparedWrite[Any]) -> None:
        """Subtract a write from the totals."""
        self.rows -= write.row_count
        self.bytes -= write.size
        if self._waiters:
            self._wake_first()

    def _wake_first(self) -> None:
        has_room = self.rows < self.max_rows and self.bytes < self.max_bytes
        if has_room and self._waiters and not self._waiters[0].done():
            self._waiters[0].set_result(None)
