"""Observer: what a storage reports about its calls; Call: a call in progress, with the time that it spends waiting.

Rules:

1. Without observers no :class:`Call` is made, and nothing here runs.
2. A call is entered and left in the task that makes it, also after a cancellation. So an observer that begins something
   in :meth:`Observer.begin` can rely on :meth:`Observer.end`.
3. An observer that fails does not fail the call: its error is logged.
"""

import logging
from collections.abc import Sequence
from contextvars import ContextVar
from enum import Enum, auto
from time import perf_counter
from types import TracebackType
from typing import Any, NamedTuple, Self

from axon_storage.errors import StorageError

_log = logging.getLogger(__name__)

TURN_PHASE, CONNECTION_PHASE, DATABASE_PHASE, PAUSE_PHASE = range(4)


class Spent(NamedTuple):
    """The seconds that a call has spent waiting.

    ``turn``: for room in the queue, the next group commit, an earlier write of the same row, the process's other
    writers, or the earlier calls of its transaction. ``connection``: for a connection of the pool. ``database``: for
    the database and its driver. ``pause``: between two attempts.
    """

    turn: float
    connection: float
    database: float
    pause: float


class Kind(Enum):
    """What a :class:`Call` is: a call, the transaction of a group commit, or a ``transaction()`` block."""

    CALL = auto()
    GROUP_COMMIT = auto()
    BLOCK = auto()


class PoolUse:
    """The use of a connection pool: ``waiting`` calls, and ``timeouts``. ``for_groups``: it is that of group commit."""

    __slots__ = ("for_groups", "timeouts", "waiting")

    def __init__(self, *, for_groups: bool) -> None:
        self.for_groups, self.waiting, self.timeouts = for_groups, 0, 0


class Observer:
    """Is told about calls. Every method is called in the task of the call; the methods of this class do nothing."""

    def begin(self, call: "Call") -> None:
        """Called when a call begins."""

    def end(self, call: "Call", error: BaseException | None) -> None:
        """Called when a call has ended, with an error that it raises, or None."""

    def retrying(self, call: "Call", attempt: int, pause: float, error: StorageError) -> None:
        """Called when an attempt (the first is 1) has failed, and the call is tried again after ``pause`` seconds."""

    def connected(self, pool: PoolUse, seconds: float) -> None:
        """Called when a call has waited for a connection of a pool, and has got it."""

    def connection_timed_out(self, pool: PoolUse) -> None:
        """Called when a call has waited for a connection of a pool, and has got none in time."""

    def refused(self, call: "Call", rows: int, error: StorageError) -> None:
        """Called when the database has refused to store the rows of a call."""

    def rolled_back_late(self, call: "Call", error: StorageError) -> None:
        """Called when a call or a transaction was rolled back, because one of its events was too old."""


class Call:
    """A call of a storage or of a transaction, a step of a transaction, a group commit, or a ``transaction()`` block.

    ``operation``: the method, or ``BEGIN``, ``COMMIT`` or ``ROLLBACK``. ``table``: None for several tables, or none.
    ``size``: the number of rows that ``save_many`` stores, otherwise 1. ``carried``: the calls whose writes a group
    commit sends. ``phase``: the one that it begins with. ``queued_at``: when the write was queued. ``span``, ``token``,
    ``task``: for the observer that makes spans.
    """

    __slots__ = (
        "_connection",
        "_database",
        "_observers",
        "_pause",
        "_phase",
        "_since",
        "_token",
        "_turn",
        "carried",
        "kind",
        "operation",
        "queued_at",
        "size",
        "span",
        "started",
        "table",
        "task",
        "tenant",
        "token",
    )

    span: Any
    token: Any
    task: Any

    def __init__(
        self,
        observers: Sequence[Observer],
        operation: str,
        *,
        kind: Kind = Kind.CALL,
        table: str | None = None,
        tenant: str | None = None,
        size: int = 1,
        carried: "Sequence[Call]" = (),
        phase: int = TURN_PHASE,
    ) -> None:
        self._observers, self.operation, self.kind, self.table, self.tenant = observers, operation, kind, table, tenant
        self.size, self.carried, self._phase = size, carried, phase
        self.queued_at: float | None = None
        self.span = self.token = self.task = None
        # Not in a list or an object of its own: more objects mean more garbage collections.
        self._turn = self._connection = self._database = self._pause = 0.0

    def __enter__(self) -> Self:
        self.started = self._since = perf_counter()
        if self.kind is not Kind.BLOCK:  # the application's own code runs in a block
            self._token = _current.set(self)
        for observer in self._observers:
            try:
                observer.begin(self)
            except Exception:
                log_failure()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.carried:
            self._share_times()
        try:
            for observer in reversed(self._observers):
                try:
                    observer.end(self, error)
                except Exception:
                    log_failure()
        finally:
            if self.kind is not Kind.BLOCK:
                _current.reset(self._token)
            # A connection that was opened during the call keeps its context, and so this object. It must not keep more.
            self._observers = self.carried = ()
            self.span = self.token = self.task = None

    def enter(self, phase: int) -> None:
        """End the current phase, and begin another."""
        now = perf_counter()
        self._add(now - self._since)
        self._phase, self._since = phase, now

    def spent(self) -> Spent:
        """Return the time in each phase until now."""
        self.enter(self._phase)
        return Spent(self._turn, self._connection, self._database, self._pause)

    def queue(self) -> None:
        """Note that the write of this call is queued now."""
        self.enter(TURN_PHASE)
        self.queued_at = self._since

    def queue_wait(self) -> float:
        """Return how long the first of this group commit's writes was queued when it began."""
        return self.started - min([each.queued_at or self.started for each in self.carried])

    def _add(self, seconds: float) -> None:
        match self._phase:
            case 0:
                self._turn += seconds
            case 1:
                self._connection += seconds
            case 2:
                self._database += seconds
            case _:
                self._pause += seconds

    def _share_times(self) -> None:
        """Add the times of this group commit to those of its calls, which have waited for their turn until it began."""
        spent, now = self.spent(), self._since
        for call in self.carried:
            call._add(self.started - call._since)
            call._turn += spent.turn
            call._connection += spent.connection
            call._database += spent.database
            call._pause += spent.pause
            call._phase, call._since = TURN_PHASE, now


_current: ContextVar[Call | None] = ContextVar("axon_storage_call", default=None)


def current_call() -> Call | None:
    """Return the call that is in progress in this task, or None if there is none, or no observer."""
    return _current.get()


def log_failure() -> None:
    """Log the error of an observer."""
    _log.warning("an observer of calls has failed; the call continues", exc_info=True)
