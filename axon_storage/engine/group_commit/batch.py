"""QueuedWrite and Batch: the state of a write, and of a batch.

Rules:

1. A write has a ``capacity`` (it is queued), or a ``batch`` (it is being sent), or neither (its caller's task commits
   it, or waits for room in the queue).
2. ``ended`` is set once, when the write has committed, failed or been abandoned. The write is never sent after that.
3. Each caller gets a separate error object.
4. A batch has at most ``STATEMENT_ROWS`` rows and ``STATEMENT_BYTES`` bytes, or one larger write.
5. If a caller is cancelled or times out, its batch has ``cancel_seconds`` to end, which is usually enough. After that
   the batch is cancelled, and its other writes are requeued.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from axon_storage.engine.deadline import Deadline
from axon_storage.engine.group_commit.row_order import NO_WRITES, OrderedWrite
from axon_storage.engine.translation import LockTimeoutError
from axon_storage.errors import QueryError, StorageError, TimedOutError
from axon_storage.sql.statements import STATEMENT_ROWS
from axon_storage.sql.writes import STATEMENT_BYTES, PreparedWrite

if TYPE_CHECKING:
    from axon_storage.engine.group_commit.capacity import Capacity
    from axon_storage.engine.observer import Call


class QueuedWrite(OrderedWrite):
    """A prepared write, its deadline, and the future that its caller awaits.

    ``seconds``: the timeout of the call. ``deadline``: the event loop's time at the timeout. ``future``: the future of
    the result, set when the write is queued. ``wakeup``: a future that the caller awaits before the write is queued.
    ``capacity``: the capacity in which the queued write is counted. ``batch``: the batch that sends it. ``expiring``:
    the set of writes that expire at about the same time. ``expired``: the deadline passed while the write was being
    sent. ``call``: the call of the write, if there is an observer. ``node``: the number of the server with the rows, if
    there are several.
    """

    __slots__ = (
        "batch",
        "call",
        "capacity",
        "deadline",
        "ended",
        "expired",
        "expiring",
        "future",
        "node",
        "seconds",
        "wakeup",
        "write",
    )

    def __init__(self, write: PreparedWrite[Any], seconds: float, deadline: float) -> None:
        self.row_keys, self.key_range = write.row_keys, write.key_range
        self.before = self.after = NO_WRITES
        self.write, self.seconds, self.deadline = write, seconds, deadline
        self.future: asyncio.Future[Any] | None = None
        self.wakeup: asyncio.Future[None] | None = None
        self.capacity: Capacity | None = None
        self.batch: Batch | None = None
        self.expiring: set[QueuedWrite] | None = None
        self.expired = self.ended = False
        self.node = 0
        self.call: Call | None = None

    @property
    def abandoned(self) -> bool:
        """Whether the caller is no longer waiting for the result."""
        return self.expired or self.future is None or self.future.done()

    def set_result(self, result: Any) -> None:
        """Set the result of the call."""
        if self.future is not None and not self.future.done():
            self.future.set_result(result)

    def set_error(self, error: BaseException) -> None:
        """Fail the call with an error. Errors of this package are copied, because several callers may get the same."""
        if self.future is None or self.future.done():
            return
        if isinstance(error, StorageError):
            kind = QueryError if isinstance(error, LockTimeoutError) else type(error)
            copy = kind(error.message, operation=self.write.operation, transient=error.transient, code=error.code)
            copy.__cause__ = error.__cause__
            self.future.set_exception(copy)
        elif isinstance(error, Exception):
            self.future.set_exception(error)
        else:
            self.future.cancel()

    def time_out(self, waiting_for: str) -> None:
        """Fail the call with a timeout error."""
        message = f"not done within {self.seconds:g} s, waiting for {waiting_for}"
        self.set_error(TimedOutError(message, transient=True))


@dataclass(slots=True, eq=False)
class Batch:
    """Writes that are sent in one transaction.

    ``single``: it has one write, which waits in the database for a row lock. ``deadline``: that of its current
    transaction. ``done``: set when the batch has ended. ``met_lock``: one of its rows was locked. ``cancelled``: no
    further transaction of it is started. ``node``: that of its writes.
    """

    single: bool = False
    node: int = 0
    writes: list[QueuedWrite] = field(default_factory=list)
    rows: int = 0
    size: int = 0
    deadline: Deadline | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    met_lock: bool = False
    cancelled: bool = False
    _cancel_timer: asyncio.TimerHandle | None = None

    cancel_seconds: ClassVar[float] = 0.1
    """Seconds between the cancellation or timeout of a caller and the cancellation of its batch."""

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
        """Release the writes, and wake the tasks that wait for the end of the batch."""
        if self._cancel_timer is not None:
            self._cancel_timer.cancel()
        self.writes.clear()  # breaks the reference cycle between the batch and its writes
        self.done.set()

    def _cancel(self) -> None:
        self.cancelled = True
        if self.deadline is not None:
            self.deadline.expire()
