"""Executor: runs units of work in transactions, with a deadline, retries and error translation.

A call passes through :meth:`Executor.run` (deadline), :func:`run_with_retries`, :meth:`Executor._attempt` (errors,
write lock) and, in one greenlet, :meth:`Executor._run_on_connection` (connection, transaction). More coroutines or
greenlets would make every call slower.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only, greenlet_spawn

from axon_storage.engine.connections import Connections, return_to_pool
from axon_storage.engine.deadline import COMMIT, GRACE_SECONDS, Deadline, TimedDeadline
from axon_storage.engine.driver_calls import DriverCalls
from axon_storage.engine.lifecycle import Lifecycle
from axon_storage.engine.monitor import Monitor
from axon_storage.engine.observer import current_call
from axon_storage.engine.retry import Retry, run_with_retries
from axon_storage.engine.timeouts import DEFAULT_TIMEOUT, check_timeout, current_timeout
from axon_storage.engine.translation import BusyError, TooLateError, translate_errors
from axon_storage.errors import StorageConnectionError
from axon_storage.sql.unit_of_work import UnitOfWork

T = TypeVar("T")

_OTHER_WRITERS = "this process's other writers"


class Executor:
    """Runs each unit of work in a separate transaction on a connection of an engine."""

    grace_seconds: float = GRACE_SECONDS
    """Additional seconds for a COMMIT or rollback that is in progress at the timeout of a call."""

    append_horizon: float = 60.0
    """Seconds after which an event that got its id is no longer committed, so that ``follow_events`` misses none."""

    write_lock_seconds: float = 30.0
    """Seconds that a writer waits for the write lock."""

    def __init__(self, engine: AsyncEngine, *, retry: Retry | None = None, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.monitor = Monitor()
        self.connections = Connections(engine, self.monitor)
        self.dialect, self.engine = self.connections.dialect, self.connections.engine
        self._driver_calls = DriverCalls(self.connections, self.check_horizon)
        self.lifecycle = Lifecycle()
        self._retry, self._timeout = retry or Retry(), check_timeout(timeout)
        self._write_lock = asyncio.Lock() if self.dialect.serial_writes else None

    async def run(
        self, operation: str, unit: UnitOfWork[T], *, deadline: Deadline | None = None, group: bool = False
    ) -> T:
        """Run a unit of work in a transaction. After a transient failure, run it again from the start.

        ``deadline``: the default is that of a call made now. ``group``: use a connection of group commit; if a lock is
        not free within its short lock timeout, raise a :class:`LockTimeoutError`, which is not retried.
        """
        deadline = self.deadline() if deadline is None else deadline
        with self.translate_errors(operation), deadline:
            return await self.retry(partial(self._attempt, operation, unit, deadline, group))

    async def with_timeout(self, operation: str, step: Awaitable[T], *, waiting_for: str) -> T:
        """Await ``step`` with the timeout of a call."""
        with self.translate_errors(operation), self.deadline(waiting_for=waiting_for):
            return await step

    def seconds_of_a_call(self) -> float:
        """Return the timeout of a call made now, in seconds."""
        return current_timeout(self._timeout)

    def deadline(self, seconds: float | None = None, **options: Any) -> Deadline:
        """Create a :class:`Deadline` with ``options``. ``seconds``: the default is the timeout of a call."""
        seconds = self.seconds_of_a_call() if seconds is None else seconds
        if self.monitor.observers and (call := current_call()) is not None:
            return TimedDeadline(seconds, call=call, grace_seconds=self.grace_seconds, **options)
        return Deadline(seconds, grace_seconds=self.grace_seconds, **options)

    def retry(self, attempt: Callable[[], Awaitable[T]], *, pause: float = 0.0) -> Coroutine[Any, Any, T]:
        """Call :func:`run_with_retries` with this executor's options."""
        return run_with_retries(self._retry, attempt, pause=pause, report=self.monitor.retrying)

    def translate_errors(self, operation: str, *, group: bool = False) -> translate_errors:
        """Return a context manager that translates the driver's errors into errors of this package."""
        return translate_errors(self.dialect, operation, group=group)

    async def close(self) -> None:
        """Refuse further calls, wait for calls in progress, close the connections; in a forked child, only refuse."""
        self.lifecycle.check_outside_call()
        await self.lifecycle.close()
        if self.lifecycle.is_forked:
            return
        # If the server does not answer, give up closing the connections properly.
        with suppress(StorageConnectionError), self.deadline(self.grace_seconds):
            await greenlet_spawn(self.connections.release)
            await self.connections.host_engine.dispose()

    def check_horizon(self, event_time: float) -> None:
        """Raise a :class:`TooLateError` if an event of this ``event_time`` must no longer be committed."""
        if monotonic() - event_time > self.append_horizon:
            message = f"an event cannot be committed more than {self.append_horizon:g} s after it was appended: repeat"
            raise TooLateError(f"{message} the call or the transaction, nothing was stored", transient=True)

    @asynccontextmanager
    async def write_lock(self, deadline: Deadline) -> AsyncIterator[None]:
        """Hold the write lock, if the database allows one writer at a time."""
        await self._acquire_write_lock(deadline)
        try:
            yield
        finally:
            self._release_write_lock()

    async def _attempt(self, operation: str, unit: UnitOfWork[T], deadline: Deadline, group: bool) -> T:
        """Run the unit once."""
        with self.translate_errors(operation, group=group), self.lifecycle.call():
            if self._write_lock is None or not unit.writes:
                return await self._run_once(unit, deadline, group)
            await self._acquire_write_lock(deadline)
            try:
                return await self._run_once(unit, deadline, group)
            finally:
                self._release_write_lock()

    def _run_once(self, unit: UnitOfWork[T], deadline: Deadline, group: bool) -> Awaitable[T]:
        """Run the unit with the driver if it is a single statement, otherwise with SQLAlchemy's connection."""
        run: Callable[[], Awaitable[T]] = partial(greenlet_spawn, self._run_on_connection, unit, deadline, group)
        if group or (statement := self._driver_calls.statement(unit)) is None:
            return run()
        return self._driver_calls.run(unit, statement, deadline, run)

    def _run_on_connection(self, unit: UnitOfWork[T], deadline: Deadline, group: bool) -> T:
        """Take a connection, run the unit on it, and return it to its pool."""
        connection = self.connections.connect(deadline, group=group)
        try:
            result = self._run_in_transaction(unit, connection, deadline, group)
            # On an engine made by create_engine this sends nothing. On other engines it sends a rollback. If that is
            # cancelled, the connection is discarded.
            connection.close()
        except BaseException:
            await_only(return_to_pool(connection))
            raise
        return result

    def _run_in_transaction(self, unit: UnitOfWork[T], connection: Connection, deadline: Deadline, group: bool) -> T:
        """Run the unit in a transaction, or in autocommit mode if the unit, the dialect and the connection allow it."""
        try:
            named = self.connections.row_security.names_tenants(connection, unit.tenants)
            if unit.can_autocommit and not named and self.connections.allows_autocommit(connection, group=group):
                self.check_horizon(unit.event_time)
                return unit.run(connection.execution_options(**self.dialect.autocommit_options))
            tenants = unit.tenants if named else None
            self.connections.begin(connection, writes=unit.writes, group=group, tenants=tenants)
            result = unit.run(connection)
            if unit.writes:
                self.check_horizon(unit.event_time)
                self._commit(connection, deadline)
            else:
                self.connections.commit(connection)
        except BaseException as error:
            self.connections.roll_back(connection, error)
            raise
        return result

    def _commit(self, connection: Connection, deadline: Deadline) -> None:
        """Commit. If the driver needs it, shield the COMMIT from a cancellation by the caller."""
        deadline.waiting_for, deadline.committing = COMMIT, True
        try:
            if deadline.own_task or not self.dialect.commit_outlives_cancellation:
                self.connections.commit(connection)
            else:
                await_only(deadline.shield(greenlet_spawn(self.connections.commit, connection)))
        finally:
            deadline.committing = False

    async def _acquire_write_lock(self, deadline: Deadline) -> None:
        if self._write_lock is None:
            return
        deadline.waiting_for = _OTHER_WRITERS
        try:
            # Before Python 3.12, wait_for can lose a cancellation that arrives while the lock is acquired.
            async with asyncio.timeout(self.write_lock_seconds):
                await self._write_lock.acquire()
        except TimeoutError:
            message = f"another transaction of this process has held the write lock for {self.write_lock_seconds:.0f} s"
            raise BusyError(message, transient=True) from None

    def _release_write_lock(self) -> None:
        if self._write_lock is not None:
            self._write_lock.release()
