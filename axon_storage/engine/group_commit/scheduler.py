"""Group commit: writes that wait at the same moment share a transaction.

The life of a write::

    write() ─ nothing else under way ─► committed alone, in the caller's own task
       └─► queued ─► in a batch ─► committed or failed, its caller returns
             ▲ │        │ refused, or a lock was not free: each half of the batch again
             │ │        ├──► committed alone, in a task of its own, where it is the one that waits for a lock
             │ │        └──► queued again, where its batch was given up for another's sake
             └─┘ blocked while an earlier write of one of its rows has not ended

Rules:

1. Nobody who holds a row lock or a connection waits in this process for somebody who may have to wait for one. A
   transaction() waits for no batch: where the two meet, the database orders them, as it does any two transactions.
   Batches have connections that transaction() cannot take. A blocked write holds nothing.
2. No write outlives its caller. A call that is cancelled or has timed out ends when its write was never sent, was
   rolled back, has committed, or its connection was closed with the COMMIT unsent. Its batch has a tenth of a second
   to end by itself; then it is given up, and the others are sent again without it. A COMMIT that is under way is
   waited for. If its answer is lost, the server may still carry it out, but it holds the row locks until then, so that
   it comes before every later write of those rows.
3. Writes of one row from this process, outside of transaction(), take effect in the order of their calls: a write is
   sent when the earlier ones of its rows have ended, or goes along with them.
4. A batch waits for a lock only as long as the dialect's brief lock time-out. Then it is halved, down to the write of
   the locked row, which goes alone. So a locked row delays its own writers. Two such writes wait in the database; the
   others are tried again every tenth of a second, a few at a time, and hold no connection meanwhile. Writes that are
   blocked are not looked at until the write before them has ended.
5. What is queued is counted and bounded; further callers wait for room. Blocked writes have a bound of their own, so
   that the writers of a locked row take no room from others.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import Any, TypeVar

from axon_storage.engine.executor import CLOSED, Executor
from axon_storage.engine.group_commit.queue import Batch, Deadlines, Queue, QueuedWrite
from axon_storage.engine.group_commit.row_order import RowOrder
from axon_storage.engine.timeouts import GRACE_SECONDS
from axon_storage.engine.translation import LockTimeoutError
from axon_storage.errors import QueryError, StorageConnectionError
from axon_storage.sql.compiler import Compiler
from axon_storage.sql.writes import STATEMENT_ROWS, PreparedWrite

T = TypeVar("T")

MIN_SECOND_BATCH = 16
"""Queued writes that are worth a second transaction beside one that is under way."""

MOST_ALONE = 2
"""Writes of locked rows that wait in the database, each on a connection of the pool."""

AGAIN_SECONDS = 0.1
"""After which some of the others are tried again."""

ITS_TURN, EARLIER_WRITE, LOCK, ROOM = (
    "its turn",
    "an earlier write of the same row",
    "the lock of its row",
    "room in the queue",
)


class GroupCommit:
    """Commits writes: a lone one at once, concurrent ones in batches."""

    def __init__(self, executor: Executor, compiler: Compiler, *, enabled: bool) -> None:
        self._executor, self._compiler, self._enabled = executor, compiler, enabled
        self._most_batches = 1 if executor.dialect.serial_writes else 2
        self.ready, self.blocked = Queue(), Queue()
        self._free: OrderedDict[QueuedWrite, None] = OrderedDict()
        """The queued writes that are not blocked, in their order; one that is given up is taken out."""
        self._locked: OrderedDict[QueuedWrite, None] = OrderedDict()
        """The queued writes whose row was locked, to be tried again."""
        self._again: asyncio.TimerHandle | None = None
        self._deadlines = Deadlines(self._expire)
        self._order: RowOrder[QueuedWrite] = RowOrder()
        self._accepted = self._transactions = 0
        self._batches: dict[asyncio.Task[None], Batch] = {}
        self._scheduled = self._closed = False
        self._change = asyncio.Event()

    async def write(self, write: PreparedWrite[T]) -> T:
        """Commit a write, and give its answer."""
        loop = self._executor.check_owner(write.operation)
        if self._closed:
            raise StorageConnectionError(CLOSED, operation=write.operation)
        seconds = self._executor.seconds_of_a_call()
        queued = QueuedWrite(write, seconds, loop.time() + seconds)
        lone = not self._accepted
        self._accepted += 1
        self._order.add(queued)
        answer: T
        try:
            if lone or not self._enabled:
                answer = await self._alone(queued)
            else:
                queue = self.blocked if queued.before else self.ready
                if queue.is_full:
                    await self._executor.with_timeout(write.operation, queue.room(queued), waiting_for=ROOM)
                    queue = self.blocked if queued.before else self.ready
                answer = await self._enqueue(queued, queue, loop)
        except asyncio.CancelledError:
            await self._given_up(queued)
            raise
        finally:
            self._accepted -= 1
            if queued.due is not None:
                queued.due.discard(queued)
            if not queued.ended:
                self._end(queued)
                self._dispatch_soon()
            if self._closed:
                self._change.set()
        return answer

    @contextmanager
    def beside_transaction(self) -> Iterator[None]:
        """Know of a transaction() that is open, which no batch may draw into a deadlock."""
        self._transactions += 1
        try:
            yield
        finally:
            self._transactions -= 1

    async def close(self) -> None:
        """Refuse new writes, and wait until those that were accepted have ended."""
        self._closed = True
        while self._accepted:
            await self._changed()
        # what is left of their tasks
        while self._batches:
            await self._changed()

    async def _alone(self, queued: QueuedWrite) -> Any:
        """Commit a write in its caller's own task."""
        write, seconds = queued.write, queued.seconds
        if queued.before:
            queued.future = asyncio.get_running_loop().create_future()
            await self._executor.with_timeout(write.operation, queued.future, waiting_for=EARLIER_WRITE)
            seconds = queued.deadline - asyncio.get_running_loop().time()
        return await self._executor.run(write.operation, self._compiler.single(write), seconds=seconds)

    def _enqueue(self, queued: QueuedWrite, queue: Queue, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[Any]":
        """Queue a write; give what its batch's commit resolves."""
        queued.future = loop.create_future()
        queue.enter(queued)
        self._deadlines.add(queued, loop)
        if not queued.before:
            self._free[queued] = None
            self._dispatch_soon()
        return queued.future

    async def _given_up(self, queued: QueuedWrite) -> None:
        """Have the batch given up that carries a cancelled call's write, and wait until it has ended."""
        while (batch := queued.carrier) is not None and not queued.ended:
            batch.give_up_soon()
            with suppress(asyncio.CancelledError):  # the caller raises its own
                await batch.over.wait()

    def _expire(self, queued: QueuedWrite) -> None:
        """Time out a write that waits; have the batch given up that carries it."""
        if (batch := queued.carrier) is None:
            queued.time_out(EARLIER_WRITE if queued.before else LOCK if queued in self._locked else ITS_TURN)
            self._end(queued)
        elif not queued.ended:
            queued.expired = True
            batch.give_up_soon()

    def _end(self, queued: QueuedWrite) -> None:
        """Let the writes go on that waited for one which has ended."""
        if queued.ended:
            return
        queued.ended = True
        if queued.queue is not None:
            queued.queue.leave(queued)
            self._free.pop(queued, None)
            self._locked.pop(queued, None)
        if not queued.rows:
            return
        for later in self._order.remove(queued):
            self._unblock(later)

    def _unblock(self, queued: QueuedWrite) -> None:
        if not self._enabled:
            if queued.future is not None and not queued.future.done():
                queued.future.set_result(None)
        elif queued.queue is not None:
            self._free[queued] = None
            self._dispatch_soon()
        elif queued.turn is not None and not queued.turn.done():  # it waits for room behind other rows' writes
            queued.turn.set_result(None)

    # Choosing the next batch.

    def _dispatch_soon(self) -> None:
        """Start a batch when all tasks that are ready to run have had their turn, since they may write too."""
        if self._free and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Start batches while fewer are under way than may be."""
        self._scheduled = False
        under_way = sum([not batch.single for batch in self._batches.values()])
        while self._free and under_way < self._most_batches:
            if under_way and len(self._free) < MIN_SECOND_BATCH:
                return
            batch = self._next_batch()
            if batch.writes:
                self._start(batch)
                under_way += 1

    def _next_batch(self) -> Batch:
        """Take the free writes, then those that are blocked by none but these."""
        batch, most = Batch(single=False), self._limit()
        while self._free and len(batch.writes) < most:
            queued, _ = self._free.popitem(last=False)
            if not batch.has_room(queued.write):
                self._put_first(queued)
                break
            batch.add(queued)
        for queued in batch.writes:
            for later in queued.after.values():
                if later.queue is not None and batch.has_room(later.write) and _goes_along(later, batch):
                    batch.add(later)
        return batch

    def _limit(self) -> int:
        """Half of the writes, so that the other half's batch is built while the server commits this one."""
        if self._most_batches == 1:
            return STATEMENT_ROWS
        under_way = sum([len(batch.writes) for batch in self._batches.values()])
        return max(MIN_SECOND_BATCH, (len(self._free) + under_way) // 2)

    def _start(self, batch: Batch) -> None:
        # in a context of its own: the time-out of one call is not that of all
        task: asyncio.Task[None] = Context().run(_create_task, self._commit(batch, batch.writes))
        self._batches[task] = batch
        task.add_done_callback(self._ended)

    # Sending a batch.

    async def _commit(self, batch: Batch, writes: Sequence[QueuedWrite]) -> None:
        """Commit writes in one transaction; where that fails for one of them, each half again."""
        writes = [queued for queued in writes if self._may_be_sent(queued, batch)]
        if not writes:
            return
        try:
            answers = await self._send(batch, writes)
        except Exception as error:  # whatever it is, every caller gets it
            if batch.given_up:
                return
            batch.met_lock = batch.met_lock or isinstance(error, LockTimeoutError)
            if isinstance(error, QueryError) and len(writes) > 1:
                await self._commit(batch, writes[: len(writes) // 2])
                await self._commit(batch, writes[len(writes) // 2 :])
            elif isinstance(error, LockTimeoutError):
                self._send_alone(writes[0])
            else:
                for queued in writes:
                    queued.fail(error)
                    self._end(queued)
        else:
            for queued, answer in zip(writes, answers, strict=True):
                queued.answer(answer)
                self._end(queued)
            if len(writes) == len(batch.writes):
                batch.writes.clear()  # before the callers make new ones, which spares garbage collections

    def _may_be_sent(self, queued: QueuedWrite, batch: Batch) -> bool:
        """Whether a write's caller still waits, and the earlier writes of its rows have ended or go along."""
        if queued.abandoned:
            return False
        if not queued.before or all(earlier.carrier is batch for earlier in queued.before.values()):
            return True
        self._requeue(queued)  # one of them has left the batch, to wait for its row alone
        return False

    async def _send(self, batch: Batch, writes: Sequence[QueuedWrite]) -> list[Any]:
        now = asyncio.get_running_loop().time()
        # each caller's own time-out gives the batch up before
        seconds = max([queued.deadline for queued in writes]) - now + GRACE_SECONDS
        contended = self._transactions > 0 or batch.met_lock
        lock_first = not batch.single and self._executor.dialect.locks_rows_first(contended=contended)
        unit = self._compiler.batch([queued.write for queued in writes], lock_first=lock_first)
        return await self._executor.run("group commit", unit, seconds=seconds, wait=batch.wait, group=not batch.single)

    def _send_alone(self, queued: QueuedWrite) -> None:
        """Have the write of a locked row wait in the database; beyond a few, have it tried again in a while."""
        if sum([batch.single for batch in self._batches.values()]) < MOST_ALONE:
            batch = Batch(single=True)
            batch.add(queued)
            self._start(batch)
            return
        queued.carrier = None
        self.blocked.enter(queued)
        self._locked[queued] = None
        self._try_again_soon()

    def _try_again_soon(self) -> None:
        if self._locked and self._again is None:
            self._again = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._again = None
        for _number in range(min(len(self._locked), MIN_SECOND_BATCH)):
            queued, _ = self._locked.popitem(last=False)
            self.blocked.leave(queued)
            self.ready.enter(queued)
            self._free[queued] = None
        self._try_again_soon()
        self._dispatch_soon()

    def _requeue(self, queued: QueuedWrite) -> None:
        """Put a write back where it was, before those that came later."""
        queued.carrier = None
        if queued.before:
            self.blocked.enter(queued)
        else:
            self.ready.enter(queued)
            self._put_first(queued)

    def _put_first(self, queued: QueuedWrite) -> None:
        self._free[queued] = None
        self._free.move_to_end(queued, last=False)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Clean up after a batch, also one that was given up, or cancelled before it began."""
        batch = self._batches.pop(task)
        if batch.timer is not None:
            batch.timer.cancel()
        for queued in reversed(batch.writes):
            if queued.carrier is batch and not queued.ended:
                self._leave(queued, batch, cancelled=task.cancelled())
        batch.writes.clear()  # they refer to the batch
        batch.over.set()
        self._change.set()
        self._dispatch()

    def _leave(self, queued: QueuedWrite, batch: Batch, *, cancelled: bool) -> None:
        """Queue a write again whose batch has ended without it, unless its caller has given up."""
        if cancelled:
            queued.fail(asyncio.CancelledError())
        elif queued.expired:
            queued.time_out(batch.wait.what)
        if queued.abandoned:
            self._end(queued)
        else:
            self._requeue(queued)

    async def _changed(self) -> None:
        self._change.clear()
        await self._change.wait()


def _goes_along(later: QueuedWrite, batch: Batch) -> bool:
    """Whether all that a write waits for is in a batch. In a transaction, all rows are stored before any is deleted."""
    return all(earlier.carrier is batch and earlier.write.delete is None for earlier in later.before.values())


def _create_task(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    return asyncio.get_running_loop().create_task(work)
