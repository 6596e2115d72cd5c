"""Group commit: writes that wait at the same moment go together, in one transaction."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Hashable, Iterator, Sequence, Set
from contextlib import contextmanager
from contextvars import Context
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeVar

from axon_storage.errors import QueryError, StorageConnectionError, StorageError
from axon_storage.executor import CLOSED, Executor, Kept
from axon_storage.writes import BATCH_BYTES, BATCH_ROWS, Write, Writer

T = TypeVar("T")

_QUEUE_ROWS, _QUEUE_BYTES = 10_000, 2**24
_SENDERS = 8
_STUCK_SECONDS = 0.1
_COMPANY = 16  # writes, of which a second transaction is worth its commit
_ITS_TURN = "its turn"


@dataclass(slots=True)
class _Waiting:
    """A write, its caller's future, which a caller that gives up cancels, and how long, and until when, that waits."""

    write: Write[Any]
    answer: asyncio.Future[Any]
    seconds: float
    deadline: float

    def fail(self, error: BaseException) -> None:
        """Give the caller an error of its own."""
        if self.answer.done():
            return
        if not isinstance(error, Exception):
            self.answer.cancel()
            return
        own = copy(error)
        own.__cause__ = error.__cause__
        if isinstance(own, StorageError):
            own.operation = self.write.operation
        self.answer.set_exception(own)

    def give_up(self, now: float, what: str) -> None:
        """End the wait where its time is over."""
        if self.deadline <= now:
            self.fail(StorageConnectionError(f"not done within {self.seconds:g} s, waiting for {what}", transient=True))


@dataclass(slots=True, eq=False)
class _Flight:
    """A transaction on its way: the rows it replaces or deletes, who waits for it, and when it began."""

    places: Set[Hashable]
    group: Sequence[_Waiting]
    began: float


class GroupCommit:
    """Sends a write that finds none on its way at once, and those that come meanwhile together after it.

    A caller returns when its own row has committed. Writes of one row keep their order. A row that the database
    refuses fails alone. A transaction that takes long, as one does that waits for a lock, holds up none that comes
    after it, but for the writes of its own rows; what waits for an open block of this storage is in no company, since
    that block may wait for the others. Callers wait for room where the queue holds 10,000 rows or 16 MiB.
    """

    def __init__(self, executor: Executor, writer: Writer, *, together: bool) -> None:
        self._executor, self._writer, self._together = executor, writer, together
        self._overlaps = not executor.dialect.serial_writes
        self._queue: deque[_Waiting] = deque()
        self._rows = self._bytes = 0  # in the queue
        self._waiting_for_room = 0
        self._turn = asyncio.Lock()
        self._room, self._quiet = asyncio.Event(), asyncio.Event()
        self._flights: list[_Flight] = []
        self._held: list[set[Hashable]] = []
        self._senders: set[asyncio.Task[None]] = set()
        self._loners: set[asyncio.Task[None]] = set()
        self._ready = 0  # senders that are not on their way
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    async def write(self, write: Write[T]) -> T:
        """Give a write's answer after it has committed."""
        loop = self._executor.check_home(write.operation)
        if self._closed:
            raise StorageConnectionError(CLOSED, operation=write.operation)
        if self._together and (self._flights or self._queue or self._senders):
            answer: T = await self._queued(write, loop)
            return answer
        flight = self._depart(write.places)
        try:
            return await self._executor.run(write.operation, self._writer.alone(write))
        finally:
            self._land(flight)

    @contextmanager
    def holding(self) -> Iterator[set[Hashable]]:
        """The rows that an open block has written: the caller adds to them, and ends this after the block's end."""
        places: set[Hashable] = set()
        self._held.append(places)
        try:
            yield places
        finally:
            self._held = [held for held in self._held if held is not places]

    async def close(self) -> None:
        """Refuse new writes, and wait until those that were taken have ended."""
        self._closed = True
        while self._flights or self._queue or self._senders or self._loners or self._waiting_for_room:
            self._quiet.clear()
            await self._quiet.wait()

    async def _queued(self, write: Write[Any], loop: asyncio.AbstractEventLoop) -> Any:
        seconds = self._executor.seconds_of_a_call()
        waiting = _Waiting(write, loop.create_future(), seconds, loop.time() + seconds)
        if self._waiting_for_room or self._is_full():
            await self._executor.within(write.operation, self._for_room(), waiting_for=_ITS_TURN)
        self._queue.append(waiting)
        self._rows += write.rows
        self._bytes += write.size
        if self._watch is None:
            self._watch = loop.call_later(_STUCK_SECONDS, self._look_around)
        if self._wants_sender():
            self._start_sender()
        return await waiting.answer

    async def _for_room(self) -> None:
        self._waiting_for_room += 1
        try:
            async with self._turn:  # first come, first served
                while self._is_full():
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._waiting_for_room -= 1
            self._quiet.set()

    def _is_full(self) -> bool:
        return self._rows >= _QUEUE_ROWS or self._bytes >= _QUEUE_BYTES

    def _wants_sender(self) -> bool:
        """Whether what is in the queue should go now: past those that are stuck, or while the server is at another."""
        if self._ready or len(self._senders) >= _SENDERS:
            return False
        moving = len(self._flights) - self._stuck()
        return moving == 0 or (moving == 1 and self._overlaps and len(self._queue) >= _COMPANY)

    def _stuck(self) -> int:
        """How many transactions on their way take long."""
        since = asyncio.get_running_loop().time() - _STUCK_SECONDS
        return sum([flight.began <= since for flight in self._flights])

    def _start_sender(self) -> None:
        self._ready += 1
        self._start(self._send(), self._senders)

    def _start(self, work: Coroutine[Any, Any, None], tasks: "set[asyncio.Task[None]]") -> None:
        def ended(task: "asyncio.Task[None]") -> None:
            tasks.discard(task)
            self._go_on()

        # in a context of its own: the time-out of one call is not that of all
        task = asyncio.create_task(work, context=Context())
        tasks.add(task)
        task.add_done_callback(ended)

    def _go_on(self) -> None:
        """After a transaction: send what has gathered meanwhile, or tell that nothing has."""
        if self._queue and self._wants_sender():
            self._start_sender()
        self._quiet.set()

    async def _send(self) -> None:
        kept = Kept()
        try:
            while group := self._take():
                places = set[Hashable]().union(*[waiting.write.places for waiting in group])
                flight = self._depart(places, group)
                self._ready -= 1
                try:
                    await self._carry(group, flight, kept)
                finally:
                    self._ready += 1
                # those that were answered just now may write again, and then go along
                await asyncio.sleep(0)
        finally:
            self._ready -= 1
            await kept.close()

    async def _carry(self, group: list[_Waiting], flight: _Flight, kept: Kept | None = None) -> None:
        try:
            await self._commit(group, kept)
        finally:
            self._land(flight)

    def _take(self) -> list[_Waiting]:
        """Take from the queue what can go together now, in order."""
        group: list[_Waiting] = []
        passed: list[_Waiting] = []
        overtaken: set[Hashable] = set()
        removed: set[Hashable] = set()
        rows = size = 0
        most = self._share()
        while self._queue:
            waiting = self._queue[0]
            write, places = waiting.write, waiting.write.places
            if group and (len(group) == most or rows + write.rows > BATCH_ROWS or size + write.size > BATCH_BYTES):
                break
            if write.stores and not removed.isdisjoint(places):
                break  # in a group all rows are stored before any is deleted
            self._queue.popleft()
            if _meet(places, [overtaken, *[flight.places for flight in self._flights]]):
                overtaken |= places
                passed.append(waiting)
                continue
            self._rows -= write.rows
            self._bytes -= write.size
            if waiting.answer.done():
                continue
            if _meet(places, self._held):
                self._start(self._carry([waiting], self._depart(places, [waiting])), self._loners)
                continue
            group.append(waiting)
            rows, size = rows + write.rows, size + write.size
            if write.removal is not None:
                removed |= places
        self._queue.extendleft(reversed(passed))
        self._room.set()
        return group

    def _share(self) -> int:
        """How many writes go together at most: half of all, of which one is made while the server is at the other."""
        if not self._overlaps:
            return BATCH_ROWS
        return max(_COMPANY, (len(self._queue) + sum([len(flight.group) for flight in self._flights])) // 2)

    async def _commit(self, group: list[_Waiting], kept: Kept | None) -> None:
        """Write a group; where the database refuses it, halves of it, down to the one write that is at fault."""
        group = [waiting for waiting in group if not waiting.answer.done()]
        if not group:
            return
        try:
            work = self._writer.together([waiting.write for waiting in group])
            answers = await self._executor.run("group commit", work, kept)
        except QueryError as error:
            if len(group) > 1:
                await self._commit(group[: len(group) // 2], kept)
                await self._commit(group[len(group) // 2 :], kept)
            else:
                group[0].fail(error)
        except BaseException as error:
            for waiting in group:
                waiting.fail(error)
            if not isinstance(error, Exception):
                raise
        else:
            for waiting, answer in zip(group, answers, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)

    def _depart(self, places: Set[Hashable], group: Sequence[_Waiting] = ()) -> _Flight:
        self._flights.append(flight := _Flight(places, group, asyncio.get_running_loop().time()))
        return flight

    def _land(self, flight: _Flight) -> None:
        self._flights.remove(flight)
        self._go_on()

    def _look_around(self) -> None:
        """Tell those whose time is over; send past transactions that take long what is not theirs."""
        loop = asyncio.get_running_loop()
        for waiting in self._queue:
            waiting.give_up(loop.time(), _ITS_TURN)
        for waiting in [waiting for flight in self._flights for waiting in flight.group]:
            waiting.give_up(loop.time(), "the database")
        if self._queue and self._wants_sender():
            self._start_sender()
        busy = self._queue or self._flights
        self._watch = loop.call_later(_STUCK_SECONDS, self._look_around) if busy else None


def _meet(places: Set[Hashable], others: Sequence[Set[Hashable]]) -> bool:
    return bool(places) and any(not places.isdisjoint(other) for other in others)
