"""Runs work in transactions: bounded in time, retried after transient failures, with the driver's errors translated."""

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only, greenlet_spawn

from axon_storage.engine.connections import Connections, commit, return_to_pool
from axon_storage.engine.events import allows_autocommit
from axon_storage.engine.timeouts import GRACE_SECONDS, Wait, check_timeout, current_timeout, finished
from axon_storage.engine.translation import BusyError, LockTimeoutError, translate_errors
from axon_storage.errors import InvalidArgumentError, QueryError, StorageConnectionError, StorageError
from axon_storage.sql.unit_of_work import UnitOfWork

CLOSED = "this storage is closed"

COMMIT = "the answer to COMMIT, which may have been carried out"
"""What a call waits for at its end."""

DEFAULT_TIMEOUT = 60.0
"""Seconds a call may take, all its attempts together."""

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0  # seconds
_TURN_SECONDS = 30.0


class _Process:
    """The number of this process, without a call of the system each time that it is asked for."""

    def __init__(self) -> None:
        self.number = os.getpid()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._look)

    def _look(self) -> None:
        self.number = os.getpid()


_process = _Process()


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often work that met a transient failure is run again, as a whole, with exponential pauses and full jitter.

    ``attempts``: at most, the first one counted. ``deadline``: no further one after so many seconds.
    """

    attempts: int = 8
    deadline: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidArgumentError("there must be at least one attempt")
        check_timeout(self.deadline)


class Executor:
    """Runs work on an engine's connections: each piece in one transaction, as often as a transient failure asks."""

    def __init__(self, engine: AsyncEngine, *, retry: Retry | None = None, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.connections = Connections(engine)
        self.dialect, self.engine = self.connections.dialect, self.connections.engine
        self._retry, self._timeout = retry or Retry(), check_timeout(timeout)
        self._turn = asyncio.Lock() if self.dialect.serial_writes else None
        self._owner: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._active: list[asyncio.Task[Any] | None] = []
        self._idle = asyncio.Event()
        self._closed = False

    async def run(
        self,
        operation: str,
        unit: UnitOfWork[T],
        *,
        seconds: float | None = None,
        wait: Wait | None = None,
        group: bool = False,
    ) -> T:
        """Run work in a transaction of its own, again as a whole after each transient failure.

        ``seconds``: how long it may take, else as long as a call. ``wait``: to end it early. ``group``: on a connection
        that only group commits use; a lock that is not free within their short lock time-out is a
        :class:`LockTimeoutError`, after which the work is not run again.
        """
        wait = Wait() if wait is None else wait
        seconds = self.seconds_of_a_call() if seconds is None else seconds
        with self.translate_errors(operation), wait.at_most(seconds):
            return await self.retry(lambda: self._try(operation, unit, wait, group=group))

    async def with_timeout(self, operation: str, step: Awaitable[T], *, waiting_for: str) -> T:
        """Await something for as long as a call may take."""
        with self.translate_errors(operation), Wait(waiting_for).at_most(self.seconds_of_a_call()):
            return await step

    def seconds_of_a_call(self) -> float:
        """How long a call that is made now may take."""
        return current_timeout(self._timeout)

    async def retry(self, attempt: Callable[[], Awaitable[T]], *, pause: float = 0.0) -> T:
        """Make an attempt, and further ones, after ``pause`` seconds and more, while they end in transient failures."""
        end = time.monotonic() + self._retry.deadline
        for number in itertools.count(1):
            try:
                return await attempt()
            except StorageError as error:
                last = number == self._retry.attempts or time.monotonic() > end
                if last or not error.transient or isinstance(error, BusyError | LockTimeoutError):
                    raise
            longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**number)
            await asyncio.sleep(pause + random.uniform(0, longest))  # noqa: S311  # jitter
        raise AssertionError("a count has no end")

    def translate_errors(self, operation: str, *, group: bool = False) -> translate_errors:
        """A context in which every error of the driver becomes one of this package, naming the operation."""
        return translate_errors(self.dialect, operation, group=group)

    async def close(self) -> None:
        """Refuse new work, wait for the work under way, give up the connections; in a forked child refuse, no more."""
        self.refuse_inside_transaction()
        self._closed = True
        if self.is_forked():
            return
        if self._active:
            self._idle.clear()
            await self._idle.wait()
        # a server that no longer answers is left without a farewell
        with suppress(StorageConnectionError), Wait().at_most(GRACE_SECONDS):
            await self.connections.owner.dispose()

    async def _try(self, operation: str, unit: UnitOfWork[T], wait: Wait, *, group: bool) -> T:
        with self.translate_errors(operation, group=group), self.tracked():
            if self._turn is None or not unit.writes:
                return await self._attempt(unit, wait, group=group)
            async with self.write_lock(wait):
                return await self._attempt(unit, wait, group=group)

    async def _attempt(self, unit: UnitOfWork[T], wait: Wait, *, group: bool) -> T:
        """Do work in one greenlet, from its connection's checkout to the return: each further one costs a call much."""
        taken: list[Connection] = []
        try:
            return await greenlet_spawn(self._do, unit, wait, taken, group)
        except BaseException:
            for connection in taken:
                await return_to_pool(connection)
            raise

    def _do(self, unit: UnitOfWork[T], wait: Wait, taken: list[Connection], group: bool) -> T:
        connection = self.connections.connect(wait, group=group)
        taken.append(connection)
        try:
            if unit.can_autocommit and self.dialect.autocommit_options and allows_autocommit(connection):
                result = unit.run(connection.execution_options(**self.dialect.autocommit_options))
            else:
                self.connections.begin(connection, writes=unit.writes, group=group)
                result = unit.run(connection)
                self._commit(connection, wait, writes=unit.writes)
        except BaseException as error:
            self.connections.roll_back(connection, error)
            raise
        # on an engine of ours nothing is sent for it; on others a rollback, which if cancelled costs the connection
        connection.close()
        return result

    def _commit(self, connection: Connection, wait: Wait, *, writes: bool) -> None:
        if not writes:
            commit(connection)
            return
        wait.what, wait.committing = COMMIT, True
        try:
            if wait.own_task or not self.dialect.commit_outlives_cancellation:
                commit(connection)
            else:  # the task is the caller's, who may cancel it
                await_only(finished(greenlet_spawn(commit, connection), wait))
        finally:
            wait.committing = False

    @contextmanager
    def tracked(self, operation: str | None = None) -> Iterator[None]:
        """Count a task as under way, for the closing to wait for."""
        self.check_owner(operation)
        self._active.append(task := asyncio.current_task())
        try:
            yield
        finally:
            self._active.remove(task)
            if not self._active:
                self._idle.set()

    @asynccontextmanager
    async def write_lock(self, wait: Wait) -> AsyncIterator[None]:
        """Hold the one turn to write that a database with serial writes has; any number at a time elsewhere."""
        if self._turn is None:
            yield
            return
        wait.what = "this process's other writers"
        try:
            # not wait_for: before Python 3.12 it loses a cancellation that meets the lock's hand-over
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            message = f"another transaction of this process has held the write lock for {_TURN_SECONDS:.0f} s"
            raise BusyError(message, transient=True) from None
        try:
            yield
        finally:
            self._turn.release()

    def refuse_inside_transaction(self) -> None:
        """Raise where this task is inside a transaction of the storage, whose end the closing would wait for."""
        if asyncio.current_task() in self._active:
            message = "this task is inside a transaction of the storage, whose end the closing would wait for"
            raise QueryError(message, operation="close")

    @property
    def is_closed(self) -> bool:
        """Whether new work is refused."""
        return self._closed

    def is_forked(self) -> bool:
        """Whether this process was forked from the one that used this storage: connections and tasks are its."""
        return self._owner is not None and self._owner[0] != _process.number

    def check_owner(self, operation: str | None = None) -> asyncio.AbstractEventLoop:
        """Give the running event loop; raise where this storage is closed, or of another process or event loop."""
        if self._closed:
            raise StorageConnectionError(CLOSED, operation=operation)
        loop = asyncio.get_running_loop()
        process, home = self._owner = self._owner or (_process.number, loop)
        if process != _process.number:
            message = "this storage belongs to another process: open one after the fork"
            raise StorageConnectionError(message, operation=operation)
        if home is not loop:
            message = "this storage belongs to another event loop: open one in this loop"
            raise StorageConnectionError(message, operation=operation)
        return loop


async def run_in_transaction(connection: Connection, unit: UnitOfWork[T]) -> T:
    """Do work in a transaction that is open."""
    return await greenlet_spawn(unit.run, connection)
