"""Queue: the writes that wait to be sent, in order.

Rules:

1. A queued write is ready, blocked or locked. A *ready* write can be sent. A *blocked* write waits for an earlier
   write of one of its rows. A *locked* write waits to be retried, because another transaction holds a lock on one of
   its rows.
2. Ready writes are sent in the order in which they were queued or became ready. A requeued write goes to the front.
3. Blocked and locked writes have a separate capacity, so that writes of a locked row do not fill the capacity for
   other writes.
"""

from collections import OrderedDict
from itertools import islice

from axon_storage.engine.group_commit.batch import QueuedWrite
from axon_storage.engine.group_commit.capacity import Capacity


class Queue:
    """The queued writes.

    ``ready_capacity``: counts ready writes. ``blocked_capacity``: counts blocked and locked writes. A blocked write
    that becomes ready remains counted there until it is sent.
    """

    def __init__(self) -> None:
        self.ready_capacity, self.blocked_capacity = Capacity(), Capacity()
        # Blocked writes are not stored here: they are reached through ``after`` of the write that blocks them.
        self._ready: OrderedDict[QueuedWrite, None] = OrderedDict()
        self._locked: OrderedDict[QueuedWrite, None] = OrderedDict()

    @property
    def ready_count(self) -> int:
        """The number of ready writes."""
        return len(self._ready)

    @property
    def has_locked(self) -> bool:
        """Whether there are locked writes."""
        return bool(self._locked)

    @property
    def is_full(self) -> bool:
        """Whether further writes wait for room, except those that wait for an earlier write of their rows."""
        return self.ready_capacity.is_full

    def first(self, count: int) -> list[QueuedWrite]:
        """Return the first ready writes, at most ``count``."""
        return list(islice(self._ready, count))

    def capacity_for(self, queued: QueuedWrite) -> Capacity:
        """Return the capacity in which a write would be counted now."""
        return self.blocked_capacity if queued.before else self.ready_capacity

    def add(self, queued: QueuedWrite) -> None:
        """Queue a write as ready, or as blocked if there is an earlier write of one of its rows."""
        queued.capacity = self.capacity_for(queued)
        queued.capacity.add(queued.write)
        if not queued.before:
            self._ready[queued] = None

    def add_first(self, queued: QueuedWrite) -> None:
        """Queue a write of a batch again, at the front."""
        self.add(queued)
        if not queued.before:
            self._ready.move_to_end(queued, last=False)

    def add_locked(self, queued: QueuedWrite) -> None:
        """Queue a write as locked."""
        queued.capacity = self.blocked_capacity
        queued.capacity.add(queued.write)
        self._locked[queued] = None

    def is_locked(self, queued: QueuedWrite) -> bool:
        """Return whether a write is locked."""
        return queued in self._locked

    def unblock(self, queued: QueuedWrite) -> None:
        """Make a blocked write ready."""
        self._ready[queued] = None

    def unlock(self, count: int) -> None:
        """Make the first ``count`` locked writes ready."""
        for _number in range(min(len(self._locked), count)):
            queued = next(iter(self._locked))
            self.remove(queued)
            self.add(queued)

    def remove(self, queued: QueuedWrite) -> None:
        """Remove a write, to send it or because its caller has abandoned it."""
        if queued.capacity is not None:
            queued.capacity.remove(queued.write)
            queued.capacity = None
        self._ready.pop(queued, None)
        self._locked.pop(queued, None)
