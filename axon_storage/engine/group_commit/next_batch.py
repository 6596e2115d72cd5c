"""Choosing the next batch from the queue.

Rules:

1. Ready writes are taken in their order, up to the limit.
2. Then blocked writes join, if every write that blocks them is in the batch: they take effect in order there. The
   limit does not hold for them, but the size of a batch does.
3. No write joins behind a delete of one of its rows, because a transaction sends all its saves before its deletes.
"""

from axon_storage.engine.group_commit.batch import Batch, QueuedWrite
from axon_storage.engine.group_commit.queue import Queue


def next_batch(queue: Queue, limit: int) -> Batch:
    """Move writes from the queue, which must have a ready one, to a new batch."""
    batch = Batch()
    for queued in queue.first(limit):
        if not batch.has_room(queued.write):
            break
        queue.remove(queued)
        batch.add(queued)
    for queued in batch.writes:  # which grows meanwhile
        for later in queued.after.values():
            if later.capacity is not None and batch.has_room(later.write) and _can_join(later, batch):
                queue.remove(later)
                batch.add(later)
    return batch


def _can_join(later: QueuedWrite, batch: Batch) -> bool:
    return all(earlier.batch is batch and earlier.write.delete is None for earlier in later.before.values())
