"""Scheduler: decides which writes are sent when.

After every change that may let a write be sent (a write is queued, unblocked or requeued, a batch ends, a pause is
over), :meth:`Scheduler.dispatch` runs. No other function starts a batch of ready writes.

Rules:

1. At most two batches are in flight, so that one is built while the server commits the other; at most one where the
   database has one writer at a time. The second one is started only for ``min_second_batch`` writes and more. Single
   batches, which wait for a lock, do not count.
2. Writes of one row, outside of ``transaction()``, take effect in the order of their calls: a write is sent after the
   earlier ones of its rows have ended, or together with them.
3. At most ``max_single_batches`` writes of locked rows wait in the database, each on a connection of the pool. The
   others wait in the queue without a connection, and some of them are retried every ``retry_seconds``.
4. A write that is queued, or being sent, ends when its caller does: it is taken out of the queue, or its batch is
   cancelled and the others of the batch are queued again.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

from axon_storage.engine.group_commit.batch import Batch, QueuedWrite
from axon_storage.engine.group_commit.deadlines import Deadlines
from axon_storage.engine.group_commit.next_batch import next_batch
from axon_storage.engine.group_commit.queue import Queue
from axon_storage.engine.group_commit.row_order import RowOrder
from axon_storage.engine.group_commit.sending import Sender
from axon_storage.engine.group_commit.splitting import commit_writes
from axon_storage.sql.writes import STATEMENT_ROWS

_NEXT_BATCH, _LOCK = "the next batch", "the lock of its row"
EARLIER_WRITE = "an earlier write of the same row"


class Scheduler:
    """Moves writes from the queue to batches, and from there to their end.

    ``queue``: the queued writes. ``in_flight``: the batches being sent, by their tasks. ``batches_started``: how many
    batches were started, single ones included.
    """

    min_second_batch: int = 16
    """The number of ready writes that are worth a second transaction beside one in flight."""

    max_single_batches: int = 2
    """The number of writes that wait in the database for locked rows."""

    retry_seconds: float = 0.1
    """Seconds after which some of the other writes of locked rows are retried."""

    def __init__(self, sender: Sender, *, serial_writes: bool) -> None:
        self.queue, self.in_flight, self.batches_started = Queue(), dict[asyncio.Task[None], Batch](), 0
        self._sender, self._max_batches = sender, 1 if serial_writes else 2
        self._order: RowOrder[QueuedWrite] = RowOrder()
        self._deadlines = Deadlines(self._expire)
        self._dispatch_scheduled = False
        self._retry_timer: asyncio.TimerHandle | None = None

    # From the caller.

    def register(self, queued: QueuedWrite) -> None:
        """Put a write that replaces or deletes rows behind the earlier writes of those rows."""
        self._order.add(queued)

    def enqueue(self, queued: QueuedWrite, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[Any]":
        """Queue a registered write, and return the future of its result."""
        queued.future = loop.create_future()
        self.queue.add(queued)
        self._deadlines.add(queued, loop)
        if not queued.before:
            self.dispatch_soon()
        return queued.future

    def leave(self, queued: QueuedWrite) -> None:
        """Forget a write whose call returns."""
        self._deadlines.remove(queued)
        if not queued.ended:
            self.finish(queued)
            self.dispatch_soon()

    # From the batches.

    def finish(self, queued: QueuedWrite) -> None:
        """End a write that has committed, failed or been abandoned, and unblock the writes that waited for it."""
        if queued.ended:
            return
        queued.ended = True
        if queued.capacity is not None:
            self.queue.remove(queued)
        if queued.row_keys:
            for later in self._order.remove(queued):
                self._unblock(later)

    def requeue(self, queued: QueuedWrite) -> None:
        """Put a write of a batch back into the queue, where it was."""
        queued.batch = None
        self.queue.add_first(queued)

    def wait_for_lock(self, queued: QueuedWrite) -> None:
        """Let a write wait for its row's lock in the database, or in the queue if enough others do so already."""
        if sum([batch.single for batch in self.in_flight.values()]) < self.max_single_batches:
            batch = Batch(single=True)
            batch.add(queued)
            self._start(batch)
        else:
            queued.batch = None
            self.queue.add_locked(queued)
            self._retry_locked_later()

    # Dispatch.

    def dispatch_soon(self) -> None:
        """Run :meth:`dispatch` after the tasks that are ready to run, since they may write too."""
        if not self._dispatch_scheduled and self.queue.ready_count:
            self._dispatch_scheduled = True
            asyncio.get_running_loop().call_soon(self.dispatch)

    def dispatch(self) -> None:
        """Start a batch of ready writes if fewer than the maximum are in flight, and another if that is worth it."""
        self._dispatch_scheduled = False
        in_flight = sum([not batch.single for batch in self.in_flight.values()])
        while in_flight < self._max_batches and self.queue.ready_count:
            if in_flight and self.queue.ready_count < self.min_second_batch:
                return
            self._start(next_batch(self.queue, self._batch_limit()))
            in_flight += 1

    def _batch_limit(self) -> int:
        """Half of the writes, so that the other half's batch is built while the server commits this one."""
        if self._max_batches == 1:
            return STATEMENT_ROWS
        in_flight = sum([len(batch.writes) for batch in self.in_flight.values()])
        return max(self.min_second_batch, (self.queue.ready_count + in_flight) // 2)

    def _start(self, batch: Batch) -> None:
        # In an empty context: the operation_timeout of the caller is not that of the batch.
        work = commit_writes(batch, batch.writes, self._sender, self)
        task: asyncio.Task[None] = Context().run(_create_task, work)
        self.in_flight[task] = batch
        self.batches_started += 1
        task.add_done_callback(self._batch_ended)

    def _batch_ended(self, task: "asyncio.Task[None]") -> None:
        """Clean up after a batch, even one that was cancelled before it started."""
        batch = self.in_flight.pop(task)
        for queued in reversed(batch.writes):  # so that add_first() keeps their order
            if queued.batch is batch and not queued.ended:
                self._settle(queued, batch, task_cancelled=task.cancelled())
        batch.end()
        self.dispatch()

    def _settle(self, queued: QueuedWrite, batch: Batch, *, task_cancelled: bool) -> None:
        """End a write whose batch was cancelled, or requeue it if its caller still waits."""
        if task_cancelled:
            queued.set_error(asyncio.CancelledError())
        elif queued.expired:
            queued.time_out(_NEXT_BATCH if batch.deadline is None else batch.deadline.waiting_for)
        if queued.abandoned:
            self.finish(queued)
        else:
            self.requeue(queued)

    def _unblock(self, queued: QueuedWrite) -> None:
        """Make a write ready that no earlier one blocks any longer, or wake its caller if it is not queued."""
        if queued.capacity is not None:
            self.queue.unblock(queued)
            self.dispatch_soon()
        elif queued.wakeup is not None and not queued.wakeup.done():
            queued.wakeup.set_result(None)

    def _retry_locked_later(self) -> None:
        if self.queue.has_locked and self._retry_timer is None:
            self._retry_timer = asyncio.get_running_loop().call_later(self.retry_seconds, self._retry_locked)

    def _retry_locked(self) -> None:
        self._retry_timer = None
        self.queue.unlock(self.min_second_batch)
        self._retry_locked_later()
        self.dispatch_soon()

    def _expire(self, queued: QueuedWrite) -> None:
        """Time out a queued write, or cancel the batch that sends it."""
        if queued.batch is None:
            locked = _LOCK if self.queue.is_locked(queued) else _NEXT_BATCH
            queued.time_out(EARLIER_WRITE if queued.before else locked)
            self.finish(queued)
        elif not queued.ended:
            queued.expired = True
            queued.batch.cancel_soon()


def _create_task(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    return asyncio.get_running_loop().create_task(work)
