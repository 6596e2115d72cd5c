"""Capacity: counts queued writes, and lets callers wait for room.

Rules:

1. Writes are counted in rows and bytes. A caller may overrun the limits with one write, however large.
2. When a limit is reached, further callers wait, and enter in the order in which they came: nobody enters before a
   caller that waits.
3. A caller that is woken takes its room in the same step of the event loop, so that one room wakes one caller.
"""

from collections import deque
from typing import TYPE_CHECKING, Any

from axon_storage.sql.writes import PreparedWrite

if TYPE_CHECKING:
    import asyncio


class Capacity:
    """The room for queued writes.

    ``max_rows``, ``max_bytes``: when one of them is reached, further callers wait. ``rows``, ``bytes``: what is queued.
    """

    def __init__(self, max_rows: int = 10_000, max_bytes: int = 2**24) -> None:
        self.max_rows, self.max_bytes = max_rows, max_bytes
        self.rows = self.bytes = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether a further caller must wait."""
        return self.rows >= self.max_rows or self.bytes >= self.max_bytes or bool(self._waiters)

    async def wait(self, waiter: "asyncio.Future[None]") -> None:
        """Wait until there is room, which resolves ``waiter``, or somebody else resolves it."""
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            self._waiters.remove(waiter)
            self._wake_first()
            raise
        self._waiters.remove(waiter)

    def add(self, write: PreparedWrite[Any]) -> None:
        """Count a write."""
        self.rows += write.row_count
        self.bytes += write.size
        if self._waiters:
            self._wake_first()

    def remove(self, write: PreparedWrite[Any]) -> None:
        """Stop counting a write."""
        self.rows -= write.row_count
        self.bytes -= write.size
        if self._waiters:
            self._wake_first()

    def _wake_first(self) -> None:
        has_room = self.rows < self.max_rows and self.bytes < self.max_bytes
        if has_room and self._waiters and not self._waiters[0].done():
            self._waiters[0].set_result(None)
