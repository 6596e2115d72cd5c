"""The one place that opens a connection, begins, commits, retries and translates errors."""

import asyncio
import itertools
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Executable
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from axon_storage.deadline import Wait, check_timeout, current_timeout
from axon_storage.dialects import Dialect, Unfit
from axon_storage.engines import may_go_alone, note_clean, prepare_engine
from axon_storage.errors import QueryError, StorageConnectionError, StorageError

CLOSED = "this storage is closed"

DEFAULT_TIMEOUT = 60.0
"""Seconds a call may take, all its attempts together."""

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0  # seconds
_TURN_SECONDS = 30.0
_CLOSE_SECONDS = 5.0
_RACES = 10


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
            raise ValueError("there must be at least one attempt")
        check_timeout(self.deadline)


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """What is to be done in one transaction, and may be done again from the start.

    ``on``: does it, in a greenlet of SQLAlchemy's. ``writes``: whether it does, or only reads. ``single``: each of its
    statements is all or nothing by itself, and does no harm where it is run late: where a connection is lost, the
    server may come to it after the same was tried again on another, and more was written since. A database with
    ``single_options`` goes without the transaction then.
    """

    on: Callable[[Connection], T]
    writes: bool
    single: bool = False


class Executor:
    """Runs work on an engine's connections: each piece in one transaction, as often as a transient failure asks."""

    def __init__(self, engine: AsyncEngine, *, retry: Retry | None = None, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.dialect = prepare_engine(engine)
        self.engine = engine
        self._retry, self._timeout = retry or Retry(), check_timeout(timeout)
        self._reads, self._writes = self.options(writes=False), self.options(writes=True)
        self._turn = asyncio.Lock() if self.dialect.serial_writes else None
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._under_way: list[asyncio.Task[Any] | None] = []
        self._idle = asyncio.Event()
        self._closed = False

    def options(self, *, writes: bool) -> dict[str, Any]:
        """The execution options of a connection whose transactions write, or only read."""
        return {**self.dialect.transaction_options, **(self.dialect.write_options if writes else {})}

    async def run(self, operation: str, work: Work[T], *, seconds: float | None = None) -> T:
        """Run work in a transaction of its own, again as a whole after each transient failure.

        ``seconds``: how long it may take, else as long as a call.
        """
        wait = Wait()
        with self.translating(operation), wait.at_most(seconds or self.seconds_of_a_call()):
            return await self.again_after_failures(lambda: self._try(operation, work, wait))

    async def within(self, operation: str, work: Awaitable[T], *, waiting_for: str = "the database") -> T:
        """Await a call's part of a transaction for as long as a call may take."""
        wait = Wait(waiting_for)
        with self.translating(operation), wait.at_most(self.seconds_of_a_call()):
            return await work

    def seconds_of_a_call(self) -> float:
        """How long a call that is made now may take."""
        return current_timeout(self._timeout)

    async def again_after_failures(self, attempt: Callable[[], Awaitable[T]], *, pause: float = 0.0) -> T:
        """Make an attempt, and further ones, after ``pause`` seconds and more, while they end in transient failures."""
        end = time.monotonic() + self._retry.deadline
        for number in itertools.count(1):
            try:
                return await attempt()
            except StorageError as error:
                last = number == self._retry.attempts or time.monotonic() > end
                if last or not error.transient or isinstance(error, _BusyError):
                    raise
            longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**number)
            await asyncio.sleep(pause + random.uniform(0, longest))  # noqa: S311  # jitter
        raise AssertionError("a count has no end")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction for the block, for :func:`in_transaction`: committed at its end, rolled back if it raises."""
        scope = self._transaction(Wait())
        with self._counted("transaction"):
            with self.translating("transaction"):
                connection = await scope.__aenter__()
            try:
                yield connection
            except BaseException:
                # what ended the block is told, not what then befell the rollback
                with suppress(StorageError), self.translating("transaction"):
                    await scope.__aexit__(*sys.exc_info())
                raise
            with self.translating("transaction"):
                await scope.__aexit__(None, None, None)

    def translating(self, operation: str) -> "_Translation":
        """A context in which every driver's error becomes one of ours, naming the operation."""
        return _Translation(self.dialect, operation)

    async def close(self) -> None:
        """Refuse new work, wait for the work under way, give up the connections."""
        self.check_outside()
        self._closed = True
        if self._under_way:
            self._idle.clear()
            await self._idle.wait()
        # a server that no longer answers need not be told
        with suppress(StorageConnectionError), Wait().at_most(_CLOSE_SECONDS):
            await self.engine.dispose()

    async def _try(self, operation: str, work: Work[T], wait: Wait) -> T:
        with self.translating(operation), self._counted():
            if self._turn is None or not work.writes:
                return await self._attempt(work, wait)
            async with self._taking_turns(self._turn, wait):
                return await self._attempt(work, wait)

    async def _attempt(self, work: Work[T], wait: Wait) -> T:
        """Do work in one greenlet, from its connection's checkout to the return: each further one costs a call much."""
        taken: list[Connection] = []
        try:
            return await greenlet_spawn(self._do, work, wait, taken)
        except BaseException:
            for connection in taken:
                await _give_back(connection)
            raise

    def _do(self, work: Work[T], wait: Wait, taken: list[Connection]) -> T:
        connection = self._connected(wait)
        taken.append(connection)
        try:
            if work.single and self.dialect.single_options and may_go_alone(connection):
                result = work.on(connection.execution_options(**self.dialect.single_options))
            else:
                self._begin(connection, writes=work.writes)
                result = work.on(connection)
                _commit(connection)
        except BaseException as error:
            self._roll_back(connection, error)
            raise
        # on an engine of ours nothing is sent for it; on others a rollback, which if cancelled costs the connection
        connection.close()
        return result

    @asynccontextmanager
    async def _transaction(self, wait: Wait) -> AsyncIterator[Connection]:
        async with nullcontext() if self._turn is None else self._taking_turns(self._turn, wait):
            connection = await greenlet_spawn(self._connected, wait)
            try:
                await greenlet_spawn(self._begin, connection, writes=True)
                yield connection
                await greenlet_spawn(_commit, connection)
            except BaseException as error:
                await greenlet_spawn(self._roll_back, connection, error)
                raise
            finally:
                await _give_back(connection)

    def _connected(self, wait: Wait) -> Connection:
        """A connection; what a driver makes of an address or option it cannot use is told as ours."""
        wait.what = "a connection"
        try:
            connection = self.engine.sync_engine.connect()
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, OSError):  # as a certificate that will not do is
                raise
            reason = str(error).partition("\n")[0][:80]
            raise StorageConnectionError(f"the driver cannot use the URL: {type(error).__name__}: {reason}") from error
        wait.what = "the database"
        return connection

    def _begin(self, connection: Connection, *, writes: bool) -> None:
        # not options of the engine: SQLAlchemy would set its isolation level by an event, and then ask at each step of
        # every call who listens
        connection.execution_options(**(self._writes if writes else self._reads))
        connection.begin()

    def _roll_back(self, connection: Connection, error: BaseException) -> None:
        """Undo; give up a connection that the error speaks of, such as one to a server that is read-only now."""
        cause = _driver_error(self.dialect, error)
        if self.dialect.is_driver_error(cause) and self.dialect.fault(cause).connection:
            connection.invalidate()
        connection.rollback()

    @contextmanager
    def _counted(self, operation: str | None = None) -> Iterator[None]:
        """Count a task as under way, for the closing to wait for."""
        self.check_home(operation)
        self._under_way.append(task := asyncio.current_task())
        try:
            yield
        finally:
            self._under_way.remove(task)
            if not self._under_way:
                self._idle.set()

    @asynccontextmanager
    async def _taking_turns(self, turn: asyncio.Lock, wait: Wait) -> AsyncIterator[None]:
        wait.what = "this process's other writers"
        try:
            # not wait_for: before Python 3.12 it loses a cancellation that meets the lock's hand-over
            async with asyncio.timeout(_TURN_SECONDS):
                await turn.acquire()
        except TimeoutError:
            message = f"another transaction of this process has held the write lock for {_TURN_SECONDS:.0f} s"
            raise _BusyError(message, transient=True) from None
        try:
            yield
        finally:
            turn.release()

    def check_outside(self) -> None:
        """Raise where this task is inside a transaction of the storage, whose end the closing would wait for."""
        if asyncio.current_task() in self._under_way:
            message = "this task is inside a transaction of the storage, whose end the closing would wait for"
            raise QueryError(message, operation="close")

    def check_home(self, operation: str | None = None) -> asyncio.AbstractEventLoop:
        """Give the running event loop; raise where this storage is closed, or of another process or event loop."""
        if self._closed:
            raise StorageConnectionError(CLOSED, operation=operation)
        loop = asyncio.get_running_loop()
        process, home = self._home = self._home or (_process.number, loop)
        if process != _process.number:
            message = "this storage belongs to another process: open one after the fork"
            raise StorageConnectionError(message, operation=operation)
        if home is not loop:
            message = "this storage belongs to another event loop: open one in this loop"
            raise StorageConnectionError(message, operation=operation)
        return loop


async def in_transaction(connection: Connection, work: Work[T]) -> T:
    """Do work in a transaction that is open."""
    return await greenlet_spawn(work.on, connection)


def save(dialect: Dialect, connection: Connection, statement: Executable, parameters: Any) -> None:
    """Run a save's statement, again after a lost race that leaves its transaction as it was."""
    for _ in range(_RACES):
        try:
            connection.execute(statement, parameters)
        except DBAPIError as error:
            if dialect.code(_driver_error(dialect, error)) not in dialect.lost_race_codes:
                raise
        else:
            return
    connection.execute(statement, parameters)


def _commit(connection: Connection) -> None:
    connection.commit()
    note_clean(connection)


async def _give_back(connection: Connection) -> None:
    """Close a connection also where the task is cancelled meanwhile, lest what is sent for that be cut off."""
    await asyncio.shield(asyncio.ensure_future(greenlet_spawn(connection.close)))


class _BusyError(StorageConnectionError):
    """A wait within this process that took all its time: the caller may try again, we have waited enough."""


class _Translation:
    def __init__(self, dialect: Dialect, operation: str) -> None:
        self._dialect, self._operation = dialect, operation

    def __enter__(self) -> None:
        self._cancellations = _cancellations()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, Exception) and _cancellations() > self._cancellations:
            # the driver met another error while it saw to the cancellation, and told only that
            raise asyncio.CancelledError from error
        if isinstance(error, StorageError):
            error.operation = error.operation or self._operation
        elif isinstance(error, Exception):
            translated, cause = _translate(self._dialect, error)
            if translated is not None:
                translated.operation = self._operation
                raise translated from cause


def _cancellations() -> int:
    """How often the running task has been asked to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _translate(dialect: Dialect, error: Exception) -> tuple[StorageError | None, BaseException | None]:
    """The error of ours for one from below, and the driver's own to keep as its cause."""
    if isinstance(error, Unfit):
        return StorageConnectionError(str(error)), None
    if isinstance(error, PoolTimeoutError):
        return _BusyError("no connection of the pool came free in time", transient=True), None
    invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
    cause = _driver_error(dialect, error)
    if dialect.is_driver_error(cause) or isinstance(error, DBAPIError):
        fault = dialect.fault(cause, invalidated=invalidated)
        kind = StorageConnectionError if fault.connection else QueryError
        message = f"[{fault.code}] {fault.message}" if fault.code else fault.message
        return kind(message, transient=fault.transient), cause
    if isinstance(error, OSError):  # refused, reset, unreachable, timed out, TLS: nobody wraps these
        return StorageConnectionError(f"{type(error).__name__}: {error.strerror or 'no answer'}", transient=True), error
    if isinstance(error, SQLAlchemyError):
        return QueryError(type(error).__name__), error.__cause__
    return None, None


def _driver_error(dialect: Dialect, error: BaseException) -> BaseException:
    """The driver's own error beneath SQLAlchemy's wrapper and its adapter's."""
    inner = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    seen: list[BaseException] = []  # a host's error may be its own cause
    while not dialect.is_driver_error(inner) and inner.__cause__ is not None and inner not in seen:
        seen.append(inner)
        inner = inner.__cause__
    return inner
