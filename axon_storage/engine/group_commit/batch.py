"""QueuedWrite and Batch: the state of one write, and of the writes of one transaction in flight.

Rules:

1. A write is in at most one place: it counts in a ``capacity`` (it is queued), or belongs to a ``batch`` (it is being
   sent), or neither (its caller's task commits it, or waits for room).
2. ``ended`` is set once, when the write has committed, failed or been abandoned. Nothing sends it after that.
3. Each caller gets an error object of its own.
4. A batch holds at most what one statement takes (``STATEMENT_ROWS`` and ``STATEMENT_BYTES``), or one larger write.
5. A batch with a caller that was cancelled or timed out has ``cancel_seconds`` to end by itself, which it usually
   does. Then it is cancelled, and its other writes are queued again.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from axon_storage.engine.deadline import Deadline
from axon_storage.engine.group_commit.row_order import NO_WRITES, OrderedWrite
from axon_storage.engine.translation import LockTimeoutError
from axon_storage.errors import QueryError, StorageConnectionError, StorageError
from axon_storage.sql.writes import STATEMENT_BYTES, STATEMENT_ROWS, PreparedWrite

if TYPE_CHECKING:
    from axon_storage.engine.group_commit.capacity import Capacity


class QueuedWrite(OrderedWrite):
    """A prepared write, its deadline, and the future that its caller awaits.

    ``seconds``: the time that the call may take. ``deadline``: when that is over, in the event loop's time.
    ``future``: resolved with the result, once the write is queued. ``wakeup``: a future that the caller awaits before
    the write is queued. ``capacity``: where the queued write is counted. ``batch``: the batch that sends it.
    ``expiring``: the set of writes that expire at about the same time. ``expired``: the deadline passed while the
    write was being sent.
    """

    __slots__ = (
        "batch",
        "capacity",
        "deadline",
        "ended",
        "expired",
        "expiring",
        "future",
        "seconds",
        "wakeup",
        "write",
    )

    def __init__(self, write: PreparedWrite[Any], seconds: float, deadline: float) -> None:
        self.row_keys, self.before, self.after = write.row_keys, NO_WRITES, NO_WRITES
        self.write, self.seconds, self.deadline = write, seconds, deadline
        self.future: asyncio.Future[Any] | None = None
        self.wakeup: asyncio.Future[None] | None = None
        self.capacity: Capacity | None = None
        self.batch: Batch | None = None
        self.expiring: set[QueuedWrite] | None = None
        self.expired = self.ended = False

    @property
    def abandoned(self) -> bool:
        """Whether the caller no longer waits for the result."""
        return self.expired or self.future is None or self.future.done()

    def set_result(self, result: Any) -> None:
        """Give the caller its result."""
        if self.future is not None and not self.future.done():
            self.future.set_result(result)

    def set_error(self, error: BaseException) -> None:
        """Give the caller an error; errors of this package are copied, since several callers may get the same one."""
        if self.future is None or self.future.done():
            return
        if isinstance(error, StorageError):
            kind = QueryError if isinstance(error, LockTimeoutError) else type(error)
            copy = kind(error.message, operation=self.write.operation, transient=error.transient)
            copy.__cause__ = error.__cause__
            self.future.set_exception(copy)
        elif isinstance(error, Exception):
            self.future.set_exception(error)
        else:
            self.future.cancel()

    def time_out(self, waiting_for: str) -> None:
        """Give the caller the error of a call that took too long."""
        message = f"not done within {self.seconds:g} s, waiting for {waiting_for}"
        self.set_error(StorageConnectionError(message, transient=True))


@dataclass(slots=True, eq=False)
class Batch:
    """Writes that are sent in one transaction.

    ``single``: it has one write, which met a locked row and now waits for the lock. ``deadline``: that of the
    transaction being sent. ``done``: set at the end. ``met_lock``: a row of it was locked. ``cancelled``: nothing more
    of it is sent.
    """

    single: bool = False
    writes: list[QueuedWrite] = field(default_factory=list)
    rows: int = 0
    size: int = 0
    deadline: Deadline | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    met_lock: bool = False
    cancelled: bool = False
    _cancel_timer: asyncio.TimerHandle | None = None

    cancel_seconds: ClassVar[float] = 0.1
    """Seconds between a caller's end and the cancellation of its batch."""

    def has_room(self, write: PreparedWrite[Any]) -> bool:
        """Whether a write fits."""
        return not self.writes or (
            self.rows + write.row_count <= STATEMENT_ROWS and self.size + write.size <= STATEMENT_BYTES
        )

    def add(self, queued: QueuedWrite) -> None:
        """Add a write, which must not be queued."""
        queued.batch = self
        self.writes.append(queued)
        self.rows += queued.write.row_count
        self.size += queued.write.size

    def cancel_soon(self) -> None:
        """Cancel the batch unless it ends within ``cancel_seconds``."""
        if self._cancel_timer is None:
            self._cancel_timer = asyncio.get_running_loop().call_later(self.cancel_seconds, self._cancel)

    def end(self) -> None:
        """Release what the batch holds, and wake those who wait for its end."""
        if self._cancel_timer is not None:
            self._cancel_timer.cancel()
        self.writes.clear()  # the writes refer to the batch: without this, they would form a reference cycle
        self.done.set()

    def _cancel(self) -> None:
        self.cancelled = True
        if self.deadline is not None:
            self.deadline.expire()
