"""Scheduler: decides when writes are sent, and in which batch.

:meth:`Scheduler.dispatch` runs after every change that can make a write ready: a write is queued, unblocked or
requeued, a batch ends, or the retry timer fires. No other function starts a batch of ready writes.

Rules:

1. At most two batches are in flight, so that one is built while the server commits the other. If the database has one
   writer at a time, at most one batch is in flight. A second batch is started only if at least ``min_second_batch``
   writes are ready. Single batches, which wait for a row lock, do not count. If the database has several nodes, all
   this is true of each node.
2. Writes of the same row, outside ``transaction()``, take effect in call order: a write is sent when the earlier writes
   of its rows have ended, or in the same batch. A delete of a range of keys is sent alone.
3. At most ``max_single_batches`` writes of locked rows wait in the database, each on a connection of the pool. The
   others wait in the queue without a connection, and some of them are retried every ``retry_seconds``.
4. When a caller is cancelled or times out, its write ends: a queued write is removed from the queue; if the write is
   being sent, its batch is cancelled, and the other writes of the batch are requeued.
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
from axon_storage.engine.group_commit.splitting import commit_batch
from axon_storage.model.stats import QueueStats
from axon_storage.sql.statements import STATEMENT_ROWS

_NEXT_BATCH, _LOCK = "the next batch", "the lock of its row"
EARLIER_WRITE = "an earlier write of the same row"


class Scheduler:
    """Moves writes from the queue into batches, starts the batches, and ends or requeues their writes.

    ``queue``: the queued writes. ``in_flight``: the batches being sent, by their tasks. ``batches_started``: the number
    of batches started, including single ones. ``max_batches``: how many may be in flight, without single ones.
    """

    min_second_batch: int = 16
    """The minimum number of ready writes for a second batch in flight."""

    max_single_batches: int = 2
    """The maximum number of single batches, whose writes wait in the database for row locks."""

    retry_seconds: float = 0.1
    """Seconds between retries of locked writes."""

    def __init__(self, sender: Sender, queue: Queue, *, serial_writes: bool, has_shards: bool = False) -> None:
        self.queue, self.in_flight, self.batches_started = queue, dict[asyncio.Task[None], Batch](), 0
        self._sender, self.max_batches = sender, 1 if serial_writes else 2
        self._takes_all = serial_writes or has_shards
        self._order: RowOrder[QueuedWrite] = RowOrder()
        self._deadlines = Deadlines(self._expire)
        self._dispatch_scheduled = False
        self._retry_timer: asyncio.TimerHandle | None = None

    def stats(self) -> QueueStats:
        """Return the state of the queue and of the batches in flight."""
        capacities = self.queue.ready_capacity, self.queue.blocked_capacity
        return QueueStats(
            waiting_rows=sum([capacity.rows for capacity in capacities]),
            waiting_bytes=sum([capacity.bytes for capacity in capacities]),
            batches_in_flight=len(self.in_flight),
            writes_in_flight=sum([len(batch.writes) for batch in self.in_flight.values()]),
        )

    # Called by GroupCommit.

    def register(self, queued: QueuedWrite) -> None:
        """Add a write to the order of its rows, after their earlier writes."""
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
        """Remove a write whose call is returning."""
        self._deadlines.remove(queued)
        if not queued.ended:
            self.finish(queued)
            self.dispatch_soon()

    # Called by batches.

    def finish(self, queued: QueuedWrite) -> None:
        """Mark a write as ended, and unblock the writes that waited for it."""
        if queued.ended:
            return
        queued.ended = True
        if queued.capacity is not None:
            self.queue.remove(queued)
        if queued.row_keys or queued.key_range is not None:
            for later in self._order.remove(queued):
                self._unblock(later)

    def requeue(self, queued: QueuedWrite) -> None:
        """Put a write of a batch back at the front of the queue."""
        queued.batch = None
        self.queue.add_first(queued)

    def wait_for_lock(self, queued: QueuedWrite) -> None:
        """Start a single batch, which waits for the row lock, or queue the write as locked if there are enough."""
        if sum([batch.single for batch in self.in_flight.values()]) < self.max_single_batches:
            batch = Batch(single=True, node=queued.node)
            batch.add(queued)
            self._start(batch)
        else:
            queued.batch = None
            self.queue.add_locked(queued)
            self._retry_locked_later()

    # Dispatch.

    def dispatch_soon(self) -> None:
        """Schedule :meth:`dispatch` after the tasks that are ready to run, because they may queue writes too."""
        if not self._dispatch_scheduled and self.queue.ready_count:
            self._dispatch_scheduled = True
            asyncio.get_running_loop().call_soon(self.dispatch)

    def dispatch(self) -> None:
        """Start batches of ready writes, up to the maximum number in flight."""
        self._dispatch_scheduled = False
        for node in self.queue.ready_nodes:
            self._dispatch_to(node)

    def _dispatch_to(self, node: int) -> None:
        in_flight = sum([not batch.single for batch in self.in_flight.values() if batch.node == node])
        while in_flight < self.max_batches and (ready := self.queue.ready_count_of(node)):
            if in_flight and ready < self.min_second_batch:
                return
            self._start(next_batch(self.queue, self._batch_limit(node), node))
            in_flight += 1

    def _batch_limit(self, node: int) -> int:
        """Return half of the number of writes, so that one batch is built while the server commits the other.

        If the batch has a transaction for each shard, half of the writes would be too few for each of them.
        """
        if self._takes_all:
            return STATEMENT_ROWS
        in_flight = sum([len(batch.writes) for batch in self.in_flight.values() if batch.node == node])
        return max(self.min_second_batch, (self.queue.ready_count_of(node) + in_flight) // 2)

    def _start(self, batch: Batch) -> None:
        # In an empty context, so that the batch does not inherit the operation_timeout of a caller.
        work = commit_batch(batch, self._sender, self)
        task: asyncio.Task[None] = Context().run(_create_task, work)
        self.in_flight[task] = batch
        self.batches_started += 1
        task.add_done_callback(self._batch_ended)

    def _batch_ended(self, task: "asyncio.Task[None]") -> None:
        """Clean up after a batch, even one that was cancelled before it started."""
        batch = self.in_flight.pop(task)
        for queued in reversed(batch.writes):  # reversed, so that requeueing at the front keeps their order
            if queued.batch is batch and not queued.ended:
                self._settle(queued, batch, task_cancelled=task.cancelled())
        batch.end()
        self.dispatch()

    def _settle(self, queued: QueuedWrite, batch: Batch, *, task_cancelled: bool) -> None:
        """End a write of a cancelled batch, or requeue it if its caller is still waiting."""
        if task_cancelled:
            queued.set_error(asyncio.CancelledError())
        elif queued.expired:
            queued.time_out(_NEXT_BATCH if batch.deadline is None else batch.deadline.waiting_for)
        if queued.abandoned:
            self.finish(queued)
        else:
            self.requeue(queued)

    def _unblock(self, queued: QueuedWrite) -> None:
        """Make a write ready that no earlier write blocks; if it is not queued, wake its caller."""
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
        """Time out a write: fail it if it is queued, or cancel the batch that sends it."""
        if queued.batch is None:
            locked = _LOCK if self.queue.is_locked(queued) else _NEXT_BATCH
            queued.time_out(EARLIER_WRITE if queued.before else locked)
            self.finish(queued)
        elif not queued.ended:
            queued.expired = True
            queued.batch.cancel_soon()


def _create_task(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    return asyncio.get_running_loop().create_task(work)
