"""Commits the writes of a batch, and sets the outcome of each write. A refused batch is split.

Rules:

1. If the database refuses a transaction, because of a row or a lock, each half of its writes is sent in a separate
   transaction, recursively, until the failing write is alone. So a write fails only because of its own error.
2. A write whose row is locked does not fail: the scheduler makes it wait for the lock alone.
3. Any other error, such as a lost connection, is the error of all writes of the transaction.
4. A write is sent only after the earlier writes of its rows, or together with them. If one of those was removed from
   the batch, the write is requeued.
5. If the database has shards, a transaction has writes of one shard, because one over several shards fails with each
   of them, and needs a two-phase commit.
"""

from collections.abc import Sequence
from typing import Protocol

from axon_storage.engine.group_commit.batch import Batch, QueuedWrite
from axon_storage.engine.group_commit.sending import Sender
from axon_storage.engine.translation import LockTimeoutError
from axon_storage.errors import QueryError


class Outcomes(Protocol):
    """Receives the outcome of each write. The scheduler implements it."""

    def finish(self, queued: QueuedWrite) -> None:
        """Called when the write has committed or failed."""

    def requeue(self, queued: QueuedWrite) -> None:
        """Called when the write has to wait for an earlier write."""

    def wait_for_lock(self, queued: QueuedWrite) -> None:
        """Called when a row of the write is locked."""


async def commit_batch(batch: Batch, sender: Sender, outcomes: Outcomes) -> None:
    """Commit the writes of a batch: in one transaction, or in one for each shard if the database has shards."""
    for writes in sender.transactions(batch.writes):
        await commit_writes(batch, writes, sender, outcomes)


async def commit_writes(batch: Batch, writes: Sequence[QueuedWrite], sender: Sender, outcomes: Outcomes) -> None:
    """Commit writes of a batch in one transaction. If the database refuses it, split the writes and try again."""
    if batch.cancelled:
        return
    writes = _sendable(batch, writes, outcomes)
    if not writes:
        return
    try:
        results = await sender.send(batch, writes)
    except Exception as error:  # any error is passed to all callers
        if batch.cancelled:
            return
        batch.met_lock = batch.met_lock or isinstance(error, LockTimeoutError)
        if isinstance(error, QueryError) and len(writes) > 1:
            middle = len(writes) // 2
            await commit_writes(batch, writes[:middle], sender, outcomes)
            await commit_writes(batch, writes[middle:], sender, outcomes)
        elif isinstance(error, LockTimeoutError):
            outcomes.wait_for_lock(writes[0])
        else:
            for queued in writes:
                queued.set_error(error)
                outcomes.finish(queued)
    else:
        for queued, result in zip(writes, results, strict=True):
            queued.set_result(result)
            outcomes.finish(queued)
        if len(writes) == len(batch.writes):
            # Released before the callers create new writes, because fewer live objects mean fewer garbage collections.
            batch.writes.clear()


def _sendable(batch: Batch, writes: Sequence[QueuedWrite], outcomes: Outcomes) -> list[QueuedWrite]:
    """Return the writes that can be sent now; requeue those that an earlier write outside the batch blocks."""
    sendable = []
    for queued in writes:
        if queued.abandoned:
            continue
        if not queued.before or all(earlier.batch is batch for earlier in queued.before.values()):
            sendable.append(queued)
        else:
            outcomes.requeue(queued)
    return sendable
