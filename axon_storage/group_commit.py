"""Group commit: writes that wait at the same moment go together, in one transaction."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Any, TypeVar

from axon_storage.errors import QueryError, StorageConnectionError, StorageError
from axon_storage.executor import CLOSED, Executor
from axon_storage.writes import BATCH_BYTES, BATCH_ROWS, Place, Write, Writer

T = TypeVar("T")

_QUEUE_ROWS, _QUEUE_BYTES = 10_000, 2**24
_COMPANY = 16  # writes, of which a second transaction is worth its commit
_STUCK_SECONDS = 0.1
_ITS_TURN = "its turn"


@dataclass(slots=True)
class _Waiting:
    """A write, its caller's future, which a caller that gives up cancels, and how long, and until when, that waits."""

    write: Write[Any]
    answer: asyncio.Future[Any]
    seconds: float
    deadline: float

    def fail(self, error: BaseException) -> None:
        """Give the caller an error, of its own where it is one of ours."""
        if self.answer.done():
            return
        if isinstance(error, StorageError):
            own = type(error)(error.message, operation=self.write.operation, transient=error.transient)
            own.__cause__ = error.__cause__
            self.answer.set_exception(own)
        elif isinstance(error, Exception):
            self.answer.set_exception(error)
        else:
            self.answer.cancel()

    def give_up(self, now: float, what: str) -> None:
        """End the wait where its time is over."""
        if self.deadline <= now:
            self.fail(StorageConnectionError(f"not done within {self.seconds:g} s, waiting for {what}", transient=True))


@dataclass(slots=True, eq=False)
class _Flight:
    """A transaction on its way: the rows it replaces or deletes, who waits for it, and when it began."""

    places: Set[Place]
    group: Sequence[_Waiting]
    began: float


class GroupCommit:
    """Sends a write that finds none on its way at once, and those that come meanwhile together after it.

    A caller returns when its own row has committed. Writes of one row keep their order. A row that the database
    refuses fails alone. Where a transaction takes long, as one does that waits for a lock, what comes after goes past,
    but for the writes of its own rows. A row that an open block of this storage has written is waited for alone, since
    that block may wait for the others. Callers wait for room where the queue holds 10,000 rows or 16 MiB.
    """

    def __init__(self, executor: Executor, writer: Writer, *, together: bool) -> None:
        self._executor, self._writer, self._together = executor, writer, together
        self._overlaps = not executor.dialect.serial_writes
        self._queue: deque[_Waiting] = deque()
        self._rows = self._bytes = 0  # in the queue
        self._behind: list[_Waiting] = []  # writes of rows that a flight, or one here before them, writes too
        self._flights: list[_Flight] = []
        self._senders: dict[asyncio.Task[None], _Flight] = {}
        self._claims: list[set[Place | str]] = []
        self._waiting_for_room = 0
        self._turn = asyncio.Lock()
        self._room, self._change = asyncio.Event(), asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    async def write(self, write: Write[T]) -> T:
        """Give a write's answer after it has committed."""
        loop = self._executor.check_home(write.operation)
        if self._closed:
            raise StorageConnectionError(CLOSED, operation=write.operation)
        if self._together and (self._flights or self._queue):
            answer: T = await self._queued(write, loop)
            return answer
        flight = self._depart(write.places)
        try:
            return await self._executor.run(write.operation, self._writer.alone(write))
        finally:
            self._land(flight)

    async def close(self) -> None:
        """Refuse new writes, and wait until those that were taken have ended."""
        self._closed = True
        while self._flights or self._queue or self._senders or self._waiting_for_room:
            await self._changed()

    @contextmanager
    def block(self) -> Iterator[set[Place | str]]:
        """What an open block claims, for :meth:`claim`; to be ended after the block's end."""
        claims: set[Place | str] = set()
        self._claims.append(claims)
        try:
            yield claims
        finally:
            self._claims = [other for other in self._claims if other is not claims]

    async def claim(self, claims: set[Place | str], places: Set[Place | str]) -> None:
        """Note the rows, or tables as a whole, that a block is about to write, when no group has them on its way."""
        if not self._together or not self._overlaps:
            return
        claims |= places
        while any(len(flight.group) > 1 and _claimed(flight.places, places) for flight in self._flights):
            await self._changed()

    async def _queued(self, write: Write[Any], loop: asyncio.AbstractEventLoop) -> Any:
        seconds = self._executor.seconds_of_a_call()
        waiting = _Waiting(write, loop.create_future(), seconds, loop.time() + seconds)
        if self._waiting_for_room or self._is_full():
            await self._executor.within(write.operation, self._for_room(), waiting_for=_ITS_TURN)
        self._queue.append(waiting)
        self._count(write, 1)
        if self._watch is None:
            self._watch = loop.call_later(_STUCK_SECONDS, self._look_around)
        if len(self._queue) == 1 or len(self._flights) < 2:  # else those before it have been looked at, and wait
            self._go_on()
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
            self._change.set()

    def _is_full(self) -> bool:
        return self._rows >= _QUEUE_ROWS or self._bytes >= _QUEUE_BYTES

    def _count(self, write: Write[Any], sign: int) -> None:
        self._rows += sign * write.rows
        self._bytes += sign * write.size

    async def _changed(self) -> None:
        self._change.clear()
        await self._change.wait()

    # From the queue to the database.

    def _go_on(self) -> None:
        """Send what has gathered, past what is stuck or while the server is at another; no more than two move."""
        since = asyncio.get_running_loop().time() - _STUCK_SECONDS
        moving = sum([flight.began > since for flight in self._flights])
        if self._queue and (moving == 0 or (moving == 1 and self._overlaps and len(self._queue) >= _COMPANY)):
            self._start(self._take())
        self._change.set()

    def _start(self, group: Sequence[_Waiting]) -> None:
        if group:
            flight = self._depart(frozenset())
            self._fill(flight, group)
            # in a context of its own: the time-out of one call is not that of all
            task = asyncio.create_task(self._send(flight), context=Context())
            self._senders[task] = flight
            task.add_done_callback(self._ended)

    async def _send(self, flight: _Flight) -> None:
        while flight.group:
            await self._commit(flight.group)
            self._fill(flight, ())
            self._let_through()
            # those that were answered just now may write again, and then go along
            await asyncio.sleep(0)
            self._fill(flight, self._take())

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """See to what a sender leaves behind, also where it was cancelled before it began."""
        flight = self._senders.pop(task)
        for waiting in flight.group:
            waiting.fail(asyncio.CancelledError())
        self._land(flight)

    def _depart(self, places: Set[Place]) -> _Flight:
        self._flights.append(flight := _Flight(places, (), asyncio.get_running_loop().time()))
        return flight

    def _fill(self, flight: _Flight, group: Sequence[_Waiting]) -> None:
        flight.places = set[Place]().union(*[waiting.write.places for waiting in group])
        flight.group, flight.began = group, asyncio.get_running_loop().time()

    def _land(self, flight: _Flight) -> None:
        self._flights.remove(flight)
        self._let_through()
        self._go_on()

    def _let_through(self) -> None:
        """Put those that waited behind some flight back to where they were, before all others."""
        for waiting in self._behind:
            self._count(waiting.write, 1)
        self._queue.extendleft(reversed(self._behind))
        self._behind.clear()

    def _take(self) -> list[_Waiting]:
        """Take from the queue what can go together now, in order."""
        group: list[_Waiting] = []
        before = [waiting.write.places for waiting in self._behind if not waiting.answer.done()]
        taken = [*(flight.places for flight in self._flights), *before]
        removed: set[Place] = set()
        rows = size = 0
        most = self._share()
        while self._queue:
            write = self._queue[0].write
            if group and (len(group) == most or rows + write.rows > BATCH_ROWS or size + write.size > BATCH_BYTES):
                break
            if write.stores and not removed.isdisjoint(write.places):
                break  # in a group all rows are stored before any is deleted
            waiting = self._queue.popleft()
            self._count(write, -1)
            if waiting.answer.done():
                continue
            if write.places and any(not write.places.isdisjoint(places) for places in taken):
                self._behind.append(waiting)
                taken.append(write.places)
            elif self._claims and any(_claimed(write.places, claims) for claims in self._claims):
                self._start([waiting])
                taken.append(write.places)
            else:
                group.append(waiting)
                rows, size = rows + write.rows, size + write.size
                if write.removal is not None:
                    removed |= write.places
        self._room.set()
        return group

    def _share(self) -> int:
        """How many writes go together at most: half of all, of which one is made while the server is at the other."""
        if not self._overlaps:
            return BATCH_ROWS
        return max(_COMPANY, (len(self._queue) + sum([len(flight.group) for flight in self._flights])) // 2)

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        """Write a group; where the database refuses it, halves of it, down to the one write that is at fault."""
        group = [waiting for waiting in group if not waiting.answer.done()]
        if not group:
            return
        # those that wait are told by themselves when their time is over, and a second later nobody is left
        last = max([waiting.deadline for waiting in group]) - asyncio.get_running_loop().time() + 1
        try:
            work = self._writer.together([waiting.write for waiting in group])
            answers = await self._executor.run("group commit", work, seconds=max(last, 1))
        except Exception as error:  # whatever it is, the callers are told
            if isinstance(error, QueryError) and len(group) > 1:
                await self._commit(group[: len(group) // 2])
                await self._commit(group[len(group) // 2 :])
                return
            for waiting in group:
                waiting.fail(error)
        else:
            for waiting, answer in zip(group, answers, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(answer)

    def _look_around(self) -> None:
        """Tell those whose time is over; send past transactions that take long what is not theirs."""
        loop = asyncio.get_running_loop()
        for waiting in [*self._queue, *self._behind]:
            waiting.give_up(loop.time(), _ITS_TURN)
        for waiting in [waiting for flight in self._flights for waiting in flight.group]:
            waiting.give_up(loop.time(), "the database")
        self._go_on()
        self._watch = loop.call_later(_STUCK_SECONDS, self._look_around) if self._flights else None


def _claimed(places: Set[Place], claims: Set[Place | str]) -> bool:
    """Whether some of the rows are claimed, by themselves or with all of their table."""
    return bool(places and claims) and not claims.isdisjoint({*places, *(table for table, _ in places)})
