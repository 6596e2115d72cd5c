"""What a group commit consists of: queued writes, the room for them, their deadlines, and batches."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from axon_storage.engine.group_commit.row_order import NO_WRITES, OrderedWrite
from axon_storage.engine.timeouts import Wait
from axon_storage.engine.translation import LockTimeoutError
from axon_storage.errors import QueryError, StorageConnectionError, StorageError
from axon_storage.sql.writes import STATEMENT_BYTES, STATEMENT_ROWS, PreparedWrite

GIVE_UP_SECONDS = 0.1
"""How long a batch may go on after one of its callers gave up."""

_TICKS = 10  # a second: how exactly deadlines are kept


class QueuedWrite(OrderedWrite):
    """A write on its way, and the future that its caller awaits.

    ``seconds``: what the call may take. ``deadline``: the loop's time at which that is over. ``queue``: what it waits
    in. ``carrier``: the batch that sends it. ``expired``: its deadline passed while it was being sent. ``ended``: it
    has committed, failed, or was given up.
    """

    __slots__ = ("carrier", "deadline", "due", "ended", "expired", "future", "queue", "seconds", "turn", "write")

    def __init__(self, write: PreparedWrite[Any], seconds: float, deadline: float) -> None:
        self.rows, self.before, self.after = write.row_keys, NO_WRITES, NO_WRITES
        self.write, self.seconds, self.deadline = write, seconds, deadline
        self.future: asyncio.Future[Any] | None = None
        self.queue: Queue | None = None
        self.carrier: Batch | None = None
        self.due: set[QueuedWrite] | None = None
        self.turn: asyncio.Future[None] | None = None
        self.expired = self.ended = False

    @property
    def abandoned(self) -> bool:
        """Whether the caller no longer waits for an answer."""
        return self.expired or self.future is None or self.future.done()

    def answer(self, result: Any) -> None:
        """Give the caller its answer."""
        if self.future is not None and not self.future.done():
            self.future.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Give the caller an error, its own copy where it is one of this package."""
        if self.future is None or self.future.done():
            return
        if isinstance(error, StorageError):
            kind = QueryError if isinstance(error, LockTimeoutError) else type(error)
            own = kind(error.message, operation=self.write.operation, transient=error.transient)
            own.__cause__ = error.__cause__
            self.future.set_exception(own)
        elif isinstance(error, Exception):
            self.future.set_exception(error)
        else:
            self.future.cancel()

    def time_out(self, what: str) -> None:
        """Tell the caller that its time is over."""
        self.fail(StorageConnectionError(f"not done within {self.seconds:g} s, waiting for {what}", transient=True))


class Queue:
    """Counts the writes that wait, and has callers wait for room, first come, first served."""

    def __init__(self, max_rows: int = 10_000, max_bytes: int = 2**24) -> None:
        self.max_rows, self.max_bytes = max_rows, max_bytes
        self.rows = self.bytes = 0
        self._callers: deque[asyncio.Future[None]] = deque()

    @property
    def is_full(self) -> bool:
        """Whether a further caller has to wait."""
        return self.rows >= self.max_rows or self.bytes >= self.max_bytes or bool(self._callers)

    async def room(self, write: QueuedWrite) -> None:
        """Wait for room, to be taken at once with :meth:`enter`, or until the write's ``turn`` is resolved."""
        turn = write.turn = asyncio.get_running_loop().create_future()
        self._callers.append(turn)
        try:
            await turn
        except BaseException:
            self._callers.remove(turn)
            self._let_in()
            raise
        self._callers.remove(turn)

    def enter(self, write: QueuedWrite) -> None:
        """Count a write."""
        write.queue = self
        self.rows += write.write.row_count
        self.bytes += write.write.size
        if self._callers:
            self._let_in()

    def leave(self, write: QueuedWrite) -> None:
        """Count a write no longer."""
        write.queue = None
        self.rows -= write.write.row_count
        self.bytes -= write.write.size
        if self._callers:
            self._let_in()

    def _let_in(self) -> None:
        room = self.rows < self.max_rows and self.bytes < self.max_bytes
        if room and self._callers and not self._callers[0].done():
            self._callers[0].set_result(None)


@dataclass(slots=True, eq=False)
class Batch:
    """Writes that are sent in one transaction, or a single one that waits for a locked row alone."""

    single: bool
    wait: Wait = field(default_factory=lambda: Wait(own_task=True))
    writes: list[QueuedWrite] = field(default_factory=list)
    rows: int = 0
    size: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)
    met_lock: bool = False
    given_up: bool = False
    timer: asyncio.TimerHandle | None = None

    def has_room(self, write: PreparedWrite[Any]) -> bool:
        """Whether a write may go along."""
        return not self.writes or (
            self.rows + write.row_count <= STATEMENT_ROWS and self.size + write.size <= STATEMENT_BYTES
        )

    def add(self, queued: QueuedWrite) -> None:
        """Take a write out of its queue and along."""
        if queued.queue is not None:
            queued.queue.leave(queued)
        queued.carrier = self
        self.writes.append(queued)
        self.rows += queued.write.row_count
        self.size += queued.write.size

    def give_up_soon(self) -> None:
        """Give the batch up unless it ends by itself in a moment."""
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(GIVE_UP_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self.given_up = True
        self.wait.expire()


class Deadlines:
    """Calls ``expire`` for each write whose deadline has passed, a tenth of a second later at most.

    The event loop's own timers take longer than all else that a queued write needs.
    """

    def __init__(self, expire: Callable[[QueuedWrite], None]) -> None:
        self._expire = expire
        self._due: dict[int, set[QueuedWrite]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, write: QueuedWrite, loop: asyncio.AbstractEventLoop) -> None:
        """Watch a write until it is taken out of its set ``due``."""
        tick = int(write.deadline * _TICKS) + 1
        due = self._due.get(tick)
        if due is None:
            due = self._due[tick] = set()
        due.add(write)
        write.due = due
        if self._timer is None:
            self._timer = loop.call_later(1 / _TICKS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time() * _TICKS
        for tick in [tick for tick, due in self._due.items() if tick <= now or not due]:
            for write in self._due.pop(tick):
                self._expire(write)
        self._timer = loop.call_later(1 / _TICKS, self._look, loop) if self._due else None
