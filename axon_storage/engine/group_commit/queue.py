"""Queue: the writes that wait to be sent, in order.

Rules:

1. A queued write is ready, blocked or locked. A *ready* write can be sent. A *blocked* write waits for an earlier
   write of one of its rows. A *locked* write waits to be retried, because another transaction holds a lock on one of
   its rows.
2. The ready writes of a tenant are sent in the order in which they were queued or became ready. A requeued write goes
   to the front. The tenants take turns.
3. Blocked and locked writes have a separate capacity, so that writes of a locked row do not fill the capacity for
   other writes.
4. If the database has several nodes, the ready writes of each node are taken separately, so that those of a node that
   does not answer do not hold up the others.
"""

from axon_storage.engine.group_commit.batch import Batch, QueuedWrite
from axon_storage.engine.group_commit.capacity import TENANT_BYTES, TENANT_ROWS, Capacity
from axon_storage.engine.group_commit.tenant_queue import TenantQueue


class Queue:
    """The queued writes.

    ``ready_capacity``: counts ready writes. ``blocked_capacity``: counts blocked and locked writes. A blocked write
    that becomes ready remains counted there until it is sent. ``tenant_queue_rows``, ``tenant_queue_bytes``: the limits
    of each tenant in each capacity.
    """

    def __init__(self, tenant_queue_rows: int = TENANT_ROWS, tenant_queue_bytes: int = TENANT_BYTES) -> None:
        self.ready_capacity, self.blocked_capacity = (
            Capacity(tenant_rows=tenant_queue_rows, tenant_bytes=tenant_queue_bytes) for _ in range(2)
        )
        # Blocked writes are not stored here: they are reached through ``after`` of the write that blocks them.
        self._ready, self._locked = dict[int, TenantQueue](), TenantQueue()

    @property
    def ready_count(self) -> int:
        """The number of ready writes."""
        return sum([len(ready) for ready in self._ready.values()])

    @property
    def ready_nodes(self) -> list[int]:
        """The nodes for which there are ready writes."""
        return [node for node, ready in self._ready.items() if ready]

    def ready_count_of(self, node: int) -> int:
        """Return the number of ready writes for a node."""
        return len(self._ready.get(node, ()))

    @property
    def has_locked(self) -> bool:
        """Whether there are locked writes."""
        return bool(self._locked)

    @property
    def is_full(self) -> bool:
        """Whether the ready writes of all tenants together have reached their limits."""
        return self.ready_capacity.is_full

    def take(self, limit: int, batch: Batch) -> None:
        """Move up to ``limit`` ready writes that fit into a new batch, which has the node."""
        self._ready_of(batch.node).take(limit, batch.has_room, batch.add)
        for queued in batch.writes:
            self._uncount(queued)

    def capacity_for(self, queued: QueuedWrite) -> Capacity:
        """Return the capacity in which a write would be counted now."""
        return self.blocked_capacity if queued.before else self.ready_capacity

    def add(self, queued: QueuedWrite) -> None:
        """Queue a write as ready, or as blocked if there is an earlier write of one of its rows."""
        queued.capacity = self.capacity_for(queued)
        queued.capacity.add(queued.write)
        if not queued.before:
            self._ready_of(queued.node).add(queued)

    def add_first(self, queued: QueuedWrite) -> None:
        """Queue a write of a batch again, at the front."""
        queued.capacity = self.capacity_for(queued)
        queued.capacity.add(queued.write)
        if not queued.before:
            self._ready_of(queued.node).add_first(queued)

    def add_locked(self, queued: QueuedWrite) -> None:
        """Queue a write as locked."""
        queued.capacity = self.blocked_capacity
        queued.capacity.add(queued.write)
        self._locked.add(queued)

    def is_locked(self, queued: QueuedWrite) -> bool:
        """Return whether a write is locked."""
        return queued in self._locked

    def unblock(self, queued: QueuedWrite) -> None:
        """Make a blocked write ready."""
        self._ready_of(queued.node).add(queued)

    def unlock(self, count: int) -> None:
        """Make the first ``count`` locked writes ready."""

        def make_ready(queued: QueuedWrite) -> None:
            self._uncount(queued)
            self.add(queued)

        self._locked.take(count, lambda _: True, make_ready)

    def remove(self, queued: QueuedWrite) -> None:
        """Remove a write, to send it or because its caller has abandoned it."""
        self._uncount(queued)
        self._ready_of(queued.node).remove(queued)
        self._locked.remove(queued)

    def _ready_of(self, node: int) -> TenantQueue:
        if node not in self._ready:
            self._ready[node] = TenantQueue()
        return self._ready[node]

    @staticmethod
    def _uncount(queued: QueuedWrite) -> None:
        if queued.capacity is not None:
            queued.capacity.remove(queued.write)
            queued.capacity = None
