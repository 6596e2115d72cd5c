"""Capacity: limits the number and size of queued writes, in total and of each tenant. Callers wait until there is room.

Rules:

1. Writes are counted in rows and bytes. While the totals are below the limits, a write of any size is admitted.
2. A write waits for room if its tenant has reached its own limits, or if the total limits are reached. A tenant that
   has no write here does not wait for room that others use.
3. The callers of a tenant are admitted in order of arrival. The tenants take turns.
4. One caller is woken at a time. It leaves the waiting list and is counted in the same step of the event loop. Only
   then is the next caller woken.
"""

import asyncio
from collections import OrderedDict, deque
from typing import Any

from axon_storage.errors import InvalidArgumentError
from axon_storage.sql.writes import PreparedWrite

QUEUE_ROWS, QUEUE_BYTES = 10_000, 2**24
"""The default limits of the queued writes of all tenants."""

TENANT_ROWS, TENANT_BYTES = 5_000, 2**23
"""The default limits of the queued writes of one tenant."""

_EXAMINED = 8
"""How many waiting tenants one change examines, so that its time does not grow with their number. While none of them
may enter, there are writes here, whose removal examines the next ones."""


class _Usage:
    """The queued writes of one tenant."""

    __slots__ = ("bytes", "rows", "writes")

    def __init__(self) -> None:
        self.writes = self.rows = self.bytes = 0


class Capacity:
    """Limits the number and size of queued writes.

    ``max_rows``, ``max_bytes``: limits of all tenants together. ``tenant_rows``, ``tenant_bytes``: limits of each
    tenant. ``rows``, ``bytes``: the totals.
    """

    def __init__(
        self,
        max_rows: int = QUEUE_ROWS,
        max_bytes: int = QUEUE_BYTES,
        tenant_rows: int = TENANT_ROWS,
        tenant_bytes: int = TENANT_BYTES,
    ) -> None:
        if tenant_rows < 1 or tenant_bytes < 1:
            raise InvalidArgumentError("tenant_queue_rows and tenant_queue_bytes must be at least 1")
        self.max_rows, self.max_bytes = max_rows, max_bytes
        self.tenant_rows, self.tenant_bytes = tenant_rows, tenant_bytes
        self.rows = self.bytes = 0
        self._usage: dict[str, _Usage] = {}
        self._waiters: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._woken: asyncio.Future[None] | None = None

    @property
    def is_full(self) -> bool:
        """Whether the limits of all tenants together are reached."""
        return self.rows >= self.max_rows or self.bytes >= self.max_bytes

    def has_room(self, tenant: str) -> bool:
        """Return whether a write of a tenant is admitted now."""
        return tenant not in self._waiters and self._may_enter(tenant)

    def rows_of(self, tenant: str) -> int:
        """Return the number of queued rows of a tenant."""
        return self._usage[tenant].rows if tenant in self._usage else 0

    async def wait(self, tenant: str, waiter: "asyncio.Future[None]") -> None:
        """Wait until ``waiter`` is resolved, by this object when there is room, or by other code."""
        self._waiters.setdefault(tenant, deque()).append(waiter)
        try:
            await waiter
        except BaseException:
            self._forget(tenant, waiter)
            self._wake()
            raise
        self._forget(tenant, waiter)
        # If other code has woken it too, it may be counted in another capacity.
        asyncio.get_running_loop().call_soon(self._wake)

    def add(self, write: PreparedWrite[Any]) -> None:
        """Add a write to the totals."""
        usage = self._usage.get(write.tenant)
        if usage is None:
            usage = self._usage[write.tenant] = _Usage()
        usage.writes += 1
        usage.rows += write.row_count
        usage.bytes += write.size
        self.rows += write.row_count
        self.bytes += write.size
        if self._waiters:
            self._wake()

    def remove(self, write: PreparedWrite[Any]) -> None:
        """Subtract a write from the totals."""
        usage = self._usage[write.tenant]
        usage.writes -= 1
        usage.rows -= write.row_count
        usage.bytes -= write.size
        self.rows -= write.row_count
        self.bytes -= write.size
        if not usage.writes:
            del self._usage[write.tenant]
        if self._waiters:
            self._wake()

    def _wake(self) -> None:
        """Wake the next caller that may enter."""
        if self._woken is not None:
            return
        for _ in range(min(len(self._waiters), _EXAMINED)):
            tenant, waiters = next(iter(self._waiters.items()))
            self._waiters.move_to_end(tenant)
            waiter = next((waiter for waiter in waiters if not waiter.done()), None)
            if waiter is not None and self._may_enter(tenant):
                self._woken = waiter
                waiter.set_result(None)
                return

    def _may_enter(self, tenant: str) -> bool:
        usage = self._usage.get(tenant)
        if usage is None:
            return True
        return usage.rows < self.tenant_rows and usage.bytes < self.tenant_bytes and not self.is_full

    def _forget(self, tenant: str, waiter: "asyncio.Future[None]") -> None:
        waiters = self._waiters[tenant]
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[tenant]
        if self._woken is waiter:
            self._woken = None
