"""Monitor: counts what a storage does, and reports it to observers."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, TypeVar

from axon_storage.engine.observer import PAUSE_PHASE, Call, Kind, Observer, PoolUse, current_call, log_failure
from axon_storage.engine.translation import TooLateError
from axon_storage.errors import QueryError, StorageError
from axon_storage.model.requests import Request, WriteRequest
from axon_storage.model.stats import CallStats

T = TypeVar("T")

_NOT_OBSERVED = nullcontext()


class Monitor:
    """The counters of a storage since it was opened, which are plain integers, and its observers.

    The counters are those of :class:`CallStats`. ``pool``, ``group_pool``: the use of the two connection pools.
    """

    def __init__(self) -> None:
        self.observers: Sequence[Observer] = ()
        self.pool, self.group_pool = PoolUse(for_groups=False), PoolUse(for_groups=True)
        self.calls = self.errors = self.retries = self.transactions = 0
        self.group_commits = self.grouped_writes = self.grouped_rows = 0
        self.refused_rows = self.late_rollbacks = 0

    def stats(self) -> CallStats:
        """Return the counters."""
        return CallStats(
            calls=self.calls,
            errors=self.errors,
            retries=self.retries,
            transactions=self.transactions,
            group_commits=self.group_commits,
            grouped_writes=self.grouped_writes,
            grouped_rows=self.grouped_rows,
            refused_rows=self.refused_rows,
            late_rollbacks=self.late_rollbacks,
            pool_timeouts=self.pool.timeouts + self.group_pool.timeouts,
        )

    async def observe(self, request: Request[T], work: Coroutine[Any, Any, T]) -> T:
        """Await the work of a request, and report it."""
        table, tenant = request.table, request.tenant or None
        size = request.stored_rows if isinstance(request, WriteRequest) else 1
        with Call(self.observers, request.operation, table=table, tenant=tenant, size=size):
            return await work

    def step(self, operation: str) -> "_Step":
        """Return a context manager for a call without a request, or for a step of a transaction; it counts an error."""
        return _Step(self, self.observed(operation))

    def observed(self, operation: str | None, **what: Any) -> AbstractContextManager[Any]:
        """As :meth:`step`, but an error is not counted. ``what``: as of :class:`Call`. None: there is nothing to do."""
        return Call(self.observers, operation, **what) if operation is not None and self.observers else _NOT_OBSERVED

    def block(self, tenant: str | None) -> AbstractContextManager[Any]:
        """Return a context manager for a ``transaction()`` block."""
        if not self.observers:
            return _NOT_OBSERVED
        return Call(self.observers, "transaction", kind=Kind.BLOCK, tenant=tenant)

    def group_commit(self, carried: Iterable[Call | None]) -> AbstractContextManager[Any]:
        """Return a context manager for a group commit that sends the writes of some calls."""
        calls = [call for call in carried if call is not None]
        if not calls:
            return _NOT_OBSERVED
        return Call(self.observers, "group commit", kind=Kind.GROUP_COMMIT, carried=calls)

    # What has happened.

    def failed(self, error: StorageError, request: Request[Any] | None = None) -> None:
        """Count a call that has failed."""
        self.errors += 1
        rows = request.stored_rows if isinstance(request, WriteRequest) else 0
        if isinstance(error, TooLateError):
            self.late_rollbacks += 1
            self._report(lambda observer, call: observer.rolled_back_late(call, error))
        elif rows and isinstance(error, QueryError) and error.code is not None and not error.transient:
            self.refused_rows += rows
            self._report(lambda observer, call: observer.refused(call, rows, error))

    def retrying(self, attempt: int, pause: float, error: StorageError) -> None:
        """Count a retry."""
        self.retries += 1
        if self.observers and (call := current_call()) is not None:
            call.enter(PAUSE_PHASE)
            self._report(lambda observer, call: observer.retrying(call, attempt, pause, error))

    def connected(self, pool: PoolUse, seconds: float) -> None:
        """Report that a call has got a connection after some time."""
        self._report(lambda observer, _call: observer.connected(pool, seconds))

    def connection_timed_out(self, pool: PoolUse) -> None:
        """Count a call that has got no connection in time."""
        pool.timeouts += 1
        self._report(lambda observer, _call: observer.connection_timed_out(pool))

    def _report(self, report: Callable[[Observer, Call], None]) -> None:
        if self.observers and (call := current_call()) is not None:
            for observer in self.observers:
                try:
                    report(observer, call)
                except Exception:
                    log_failure()


class _Step:
    """A step of a transaction: counts its errors."""

    def __init__(self, monitor: Monitor, observed: AbstractContextManager[Any]) -> None:
        self._monitor, self._observed = monitor, observed

    def __enter__(self) -> None:
        self._observed.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, StorageError):
            self._monitor.failed(error)
        self._observed.__exit__(kind, error, trace)
