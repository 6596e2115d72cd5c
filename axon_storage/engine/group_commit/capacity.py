"""Capacity: limits the number and size of queued writes, in total and of each tenant. Callers wait until there is room.

Rules:

1. Writes are counted in rows and bytes. While the totals are below the limits, a write of any size is admitted.
2. A write waits for room if its tenant has reached its own limits, or if the total limits are reached. A tenant that
   has no write here does not wait for room that others use.
3. The callers of a tenant are admitted in order of arrival. The tenants take turns.
4. A woken caller is counted until it runs. In the same step of the event loop it then adds its write, here or in
   another capacity.
"""

import asyncio
from collections import Counter, OrderedDict
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
        self._waiters: OrderedDict[str, OrderedDict[asyncio.Future[None], PreparedWrite[Any]]] = OrderedDict()
        self._woken: set[asyncio.Future[None]] = set()
        self._entering: Counter[str] = Counter()

    @property
    def is_full(self) -> bool:
        """Whether the limits of all tenants together are reached."""
        return self.rows >= self.max_rows or self.bytes >= self.max_bytes

    def has_room(self, tenant: str) -> bool:
        """Return whether a write of a tenant is admitted now."""
        if tenant in self._waiters or tenant in self._entering:
            return False
        return self._may_enter(tenant)

    def rows_of(self, tenant: str) -> int:
        """Return the number of queued rows of a tenant."""
        return self._usage[tenant].rows if tenant in self._usage else 0

    async def wait(self, write: PreparedWrite[Any], waiter: "asyncio.Future[None]") -> None:
        """Wait until ``waiter`` is resolved, by this object when there is room for the write, or by other code."""
        self._waiters.setdefault(write.tenant, OrderedDict())[waiter] = write
        try:
            await waiter
        finally:
            self._leave(write, waiter)
            if self._waiters:
                asyncio.get_running_loop().call_soon(self._wake)

    def add(self, write: PreparedWrite[Any]) -> None:
        """Add a write to the totals."""
        usage = self._usage.get(write.tenant)
        if usage is None:
            usage = self._usage[write.tenant] = _Usage()
        rows, size = write.row_count, write.size
        usage.writes += 1
        usage.rows += rows
        usage.bytes += size
        self.rows += rows
        self.bytes += size

    def remove(self, write: PreparedWrite[Any]) -> None:
        """Subtract a write from the totals."""
        self._subtract(write)
        if self._waiters:
            self._wake()

    def _subtract(self, write: PreparedWrite[Any]) -> None:
        usage, rows, size = self._usage[write.tenant], write.row_count, write.size
        usage.writes -= 1
        usage.rows -= rows
        usage.bytes -= size
        self.rows -= rows
        self.bytes -= size
        if not usage.writes:
            del self._usage[write.tenant]

    def _wake(self) -> None:
        """Wake the callers that may enter."""
        examined = 0
        while self._waiters and examined < _EXAMINED:
            tenant, waiters = next(iter(self._waiters.items()))
            self._waiters.move_to_end(tenant)
            if not self._may_enter(tenant):
                examined += 1
                continue
            waiter, write = waiters.popitem(last=False)
            if not waiters:
                del self._waiters[tenant]
            if not waiter.done():
                waiter.set_result(None)
                self._woken.add(waiter)
                self._entering[tenant] += 1
                self.add(write)

    def _leave(self, write: PreparedWrite[Any], waiter: "asyncio.Future[None]") -> None:
        tenant = write.tenant
        if waiter in self._woken:
            self._woken.remove(waiter)
            self._subtract(write)
            self._entering[tenant] -= 1
            if not self._entering[tenant]:
                del self._entering[tenant]
        elif (waiters := self._waiters.get(tenant)) is not None and waiter in waiters:
            del waiters[waiter]
            if not waiters:
                del self._waiters[tenant]

    def _may_enter(self, tenant: str) -> bool:
        usage = self._usage.get(tenant)
        if usage is None:
            return True
        if usage.rows >= self.tenant_rows or usage.bytes >= self.tenant_bytes:
            return False
        return self.rows < self.max_rows and self.bytes < self.max_bytes
