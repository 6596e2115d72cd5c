"""GroupCommit: commits writes. The code of this module runs in the caller's task.

Rules:

1. If no other write is in progress, the caller's task commits the write itself. Otherwise the write is queued, and the
   scheduler sends it in a batch.
2. Code that holds a row lock or a connection never waits, in this process, for code that may have to wait for one. So
   an open ``transaction()`` waits for a batch only in the database, which orders them if both write the same rows.
   Batches, except single ones, use connections that ``transaction()`` cannot take; on SQLite they acquire the write
   lock before a connection. A queued write holds neither a lock nor a connection.
3. A write never commits after its call has returned. A cancelled or timed-out call returns when its write was removed
   from the queue, was rolled back, has committed, or its connection was closed before the COMMIT was sent. If the
   answer to a COMMIT is lost, the server may still execute it. The server holds the row locks until then, so that the
   COMMIT precedes every later write of those rows.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import inf
from typing import Any, TypeVar

from axon_storage.engine.executor import Executor
from axon_storage.engine.group_commit.batch import QueuedWrite
from axon_storage.engine.group_commit.places import Places
from axon_storage.engine.group_commit.queue import Queue
from axon_storage.engine.group_commit.scheduler import EARLIER_WRITE, Scheduler
from axon_storage.engine.group_commit.sending import Sender
from axon_storage.engine.lifecycle import CLOSED
from axon_storage.engine.observer import current_call
from axon_storage.errors import InvalidArgumentError, StorageConnectionError
from axon_storage.sql.compiler import Compiler
from axon_storage.sql.unit_of_work import UnitOfWork
from axon_storage.sql.writes import PreparedWrite

T = TypeVar("T")

_ROOM = "room in the queue"


class GroupCommit:
    """Commits a write immediately if no other is in progress, otherwise in a batch.

    ``enabled``: if False, each write has a separate transaction; writes of the same row still wait for each other.
    ``scheduler``: the state of all queued writes and batches, with its limits as public fields.
    """

    def __init__(self, executor: Executor, compiler: Compiler, queue: Queue, *, enabled: bool) -> None:
        self._executor, self._compiler, self._enabled = executor, compiler, enabled
        self._places = Places(executor)
        self._sender, self._monitor = Sender(executor, compiler, self._places), executor.monitor
        self._has_places = executor.dialect.has_places
        self.scheduler = Scheduler(
            self._sender, queue, serial_writes=executor.dialect.serial_writes, has_shards=self._has_places
        )
        self._calls = 0
        self._closed = False
        self._idle = asyncio.Event()

    async def write(self, write: PreparedWrite[T], check: UnitOfWork[str | None] | None = None) -> T:
        """Commit a write, and return its result.

        ``check``: a read that runs first, and returns why the write is refused, or None. Later writes of the same rows
        wait for it too.
        """
        loop = self._executor.lifecycle.check_usable(write.operation)
        if self._closed:
            raise StorageConnectionError(CLOSED, operation=write.operation)
        seconds = self._executor.seconds_of_a_call()
        if write.event_time < inf:  # a statement without a COMMIT must not wait for a lock beyond the horizon
            seconds = min(seconds, self._executor.append_horizon)
        queued = QueuedWrite(write, seconds, loop.time() + seconds)
        if self._monitor.observers:
            queued.call = current_call()
        alone = not self._calls
        self._calls += 1
        if write.row_keys or write.key_range is not None:
            self.scheduler.register(queued)
        result: T
        try:
            if check is not None:
                await self._check(queued, check)
            if alone or not self._enabled:
                result = await self._commit_alone(queued, loop, has_waited=check is not None)
            else:
                if self._has_places or not self.scheduler.queue.capacity_for(queued).has_room(write.tenant):
                    await self._wait_for_room(queued, loop)
                if queued.call is not None:
                    queued.call.queue()
                result = await self.scheduler.enqueue(queued, loop)
        except asyncio.CancelledError:
            await self._end_batch_of(queued)
            raise
        finally:
            self._calls -= 1
            self.scheduler.leave(queued)
            if self._closed and not self._calls:
                self._idle.set()
        return result

    @contextmanager
    def beside_transaction(self) -> Iterator[None]:
        """Count an open ``transaction()``. Meanwhile batches may lock rows first, to avoid deadlocks with it."""
        self._sender.open_transactions += 1
        try:
            yield
        finally:
            self._sender.open_transactions -= 1

    async def close(self) -> None:
        """Refuse further writes, and wait for those in progress."""
        self._closed = True
        if self._calls:
            await self._idle.wait()
        while self.scheduler.in_flight:  # a batch's task ends after its callers
            await asyncio.wait(self.scheduler.in_flight)

    async def _wait_for_room(self, queued: QueuedWrite, loop: asyncio.AbstractEventLoop) -> None:
        """Find out to which node a write goes, and wait until the queue has room for it."""
        write = queued.write
        if not self._places.known(write.tenant):
            await self._places.read(write.operation, write.tenant, self._executor.deadline(queued.seconds))
        queued.node = self._places.node(write.tenant)
        capacity = self.scheduler.queue.capacity_for(queued)
        if not capacity.has_room(write.tenant):
            queued.wakeup = loop.create_future()
            room = capacity.wait(write, queued.wakeup)
            await self._executor.with_timeout(write.operation, room, waiting_for=_ROOM)

    async def _check(self, queued: QueuedWrite, check: UnitOfWork[str | None]) -> None:
        operation, deadline = queued.write.operation, self._executor.deadline(queued.seconds)
        if (refusal := await self._executor.run(operation, check, deadline=deadline)) is not None:
            raise InvalidArgumentError(refusal, operation=operation)

    async def _commit_alone(self, queued: QueuedWrite, loop: asyncio.AbstractEventLoop, *, has_waited: bool) -> Any:
        """Commit a write in its caller's task, after the earlier writes of its rows."""
        operation, seconds = queued.write.operation, queued.seconds
        if queued.before:
            queued.wakeup = loop.create_future()
            await self._executor.with_timeout(operation, queued.wakeup, waiting_for=EARLIER_WRITE)
            has_waited = True
        if has_waited:
            seconds = queued.deadline - loop.time()
        unit = self._compiler.single(queued.write)
        return await self._executor.run(operation, unit, deadline=self._executor.deadline(seconds))

    async def _end_batch_of(self, queued: QueuedWrite) -> None:
        """After a cancellation of the call, cancel the batch that sends the write, and wait for its end."""
        while (batch := queued.batch) is not None and not queued.ended:
            batch.cancel_soon()
            with suppress(asyncio.CancelledError):  # write() raises the CancelledError of the call
                await batch.done.wait()
