"""Choosing the next batch from the queue.

Rules:

1. Ready writes are taken in the order of the tenants' turns, up to ``limit``.
2. Then blocked writes are added if all writes that block them are in the batch, where they take effect in order.
   ``limit`` does not apply to them, but the maximum size of a batch does.
3. A write is not added if it is blocked by a delete or a create, because a transaction sends all its saves before them.
"""

from axon_storage.engine.group_commit.batch import Batch, QueuedWrite
from axon_storage.engine.group_commit.queue import Queue


def next_batch(queue: Queue, limit: int, node: int = 0) -> Batch:
    """Move writes from the queue, which must have a ready one for the node, into a new batch."""
    batch = Batch(node=node)
    queue.take(limit, batch)
    for queued in batch.writes:  # the list grows during the iteration
        for later in queued.after.values():
            if later.capacity is not None and batch.has_room(later.write) and _can_join(later, batch):
                queue.remove(later)
                batch.add(later)
    return batch


def _can_join(later: QueuedWrite, batch: Batch) -> bool:
    return all(earlier.batch is batch and earlier.write.plan is None for earlier in later.before.values())
