"""The one place that opens a connection, begins, commits, retries and translates errors."""

import asyncio
import itertools
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

from sqlalchemy import Executable
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from axon_storage.deadline import Wait, check_timeout, current_timeout
from axon_storage.dialects import Dialect, Unfit
from axon_storage.engines import is_direct, prepare_engine
from axon_storage.errors import QueryError, StorageConnectionError, StorageError

CLOSED = "this storage is closed"

DEFAULT_TIMEOUT = 60.0
"""Seconds a call may take, all its attempts together."""

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0  # seconds
_TURN_SECONDS = 30.0
_CLOSE_SECONDS = 5.0
_RACES = 10
_KEPT_USES = 8


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

    ``writes``: whether it does, or only reads. ``single``: each of its statements is all or nothing by itself, and does
    no harm where it is run late: where a connection is lost, the server may come to it after the same was tried again
    on another, and more was written since. A database with ``single_options`` goes without the transaction then.
    """

    on: Callable[[AsyncConnection], Awaitable[T]]
    writes: bool
    single: bool = False


class Kept:
    """A connection that one task keeps between single statements, for a few of them: others may wait for it."""

    def __init__(self) -> None:
        self.connection: AsyncConnection | None = None
        self._uses = 0

    def take(self) -> AsyncConnection | None:
        """Give the connection, if one is kept."""
        connection, self.connection = self.connection, None
        return connection

    async def give_back(self, connection: AsyncConnection) -> None:
        """Keep the connection, or close it."""
        self._uses = (self._uses + 1) % _KEPT_USES
        if self._uses:
            self.connection = connection
        else:
            await connection.close()

    async def close(self) -> None:
        """Keep no connection any longer."""
        if (connection := self.take()) is not None:
            await connection.close()


class Executor:
    """Runs work on an engine's connections: each piece in one transaction, as often as a transient failure asks."""

    def __init__(self, engine: AsyncEngine, *, retry: Retry | None = None, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.dialect = prepare_engine(engine)
        self.engine = engine
        self._retry, self._timeout = retry or Retry(), check_timeout(timeout)
        self._reading = engine.execution_options(**self.options(writes=False))
        self._writing = engine.execution_options(**self.options(writes=True))
        alone = self.dialect.single_options
        self._alone = engine.execution_options(**alone) if alone else None
        self._turn = asyncio.Lock() if self.dialect.serial_writes else None
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._under_way: list[asyncio.Task[Any] | None] = []
        self._idle = asyncio.Event()
        self._closed = False

    def options(self, *, writes: bool) -> dict[str, Any]:
        """The execution options of a connection whose transactions write, or only read."""
        return {**self.dialect.transaction_options, **(self.dialect.write_options if writes else {})}

    async def run(self, operation: str, work: Work[T], *, kept: Kept | None = None, seconds: float | None = None) -> T:
        """Run work in a transaction of its own, again as a whole after each transient failure.

        ``kept``: what keeps the connection of a single statement for the next; its owner closes it. ``seconds``: how
        long it may take, else as long as a call.
        """
        wait = Wait()
        with self.translating(operation), wait.at_most(seconds or self.seconds_of_a_call()):
            return await self.again_after_failures(lambda: self._try(operation, work, wait, kept))

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
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction for the block: committed at its end, rolled back when it raises."""
        scope = self._transaction(Wait(), writes=True)
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

    async def _try(self, operation: str, work: Work[T], wait: Wait, kept: Kept | None) -> T:
        with self.translating(operation), self._counted():
            connection = None
            if work.single and self._alone is not None:
                connection = None if kept is None else kept.take()
                if connection is None:
                    connection = await self._connected(self._alone, wait)
                wait.what = "the database"
                if is_direct(connection):
                    return await self._run_alone(connection, work, kept)
                await connection.execution_options(**self.options(writes=work.writes))
            elif kept is not None:
                await kept.close()
            async with self._transaction(wait, writes=work.writes, connection=connection) as connection:
                return await work.on(connection)

    async def _run_alone(self, connection: AsyncConnection, work: Work[T], kept: Kept | None) -> T:
        """Run a single statement on a connection without a transaction, and give that back, or to what keeps it."""
        try:
            result = await work.on(connection)
        except BaseException as error:
            await self._give_up_if_lost(connection, error)
            await connection.__aexit__(*sys.exc_info())
            raise
        # nothing is sent, so that nothing can cut it off
        await (connection.close() if kept is None else kept.give_back(connection))
        return result

    @asynccontextmanager
    async def _transaction(
        self, wait: Wait, *, writes: bool, connection: AsyncConnection | None = None
    ) -> AsyncIterator[AsyncConnection]:
        async with self._taking_turns(wait, writes=writes):
            if connection is None:
                connection = await self._connected(self._writing if writes else self._reading, wait)
            try:
                async with connection.begin():
                    try:
                        yield connection
                    except BaseException as error:
                        await self._give_up_if_lost(connection, error)
                        raise
            finally:
                await connection.__aexit__(*sys.exc_info())

    async def _connected(self, engine: AsyncEngine, wait: Wait) -> AsyncConnection:
        """A connection; what a driver makes of an address or option it cannot use is told as ours."""
        wait.what = "a connection"
        try:
            connection = await engine.connect()
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, OSError):  # as a certificate that will not do is
                raise
            reason = str(error).partition("\n")[0][:80]
            raise StorageConnectionError(f"the driver cannot use the URL: {type(error).__name__}: {reason}") from error
        wait.what = "the database"
        return connection

    async def _give_up_if_lost(self, connection: AsyncConnection, error: BaseException) -> None:
        """Give up a connection that an error speaks of, such as one to a server that is read-only now."""
        cause = _driver_error(self.dialect, error)
        if self.dialect.is_driver_error(cause) and self.dialect.fault(cause).connection:
            await connection.invalidate()

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
    async def _taking_turns(self, wait: Wait, *, writes: bool) -> AsyncIterator[None]:
        if self._turn is None or not writes:
            yield
            return
        wait.what = "this process's other writers"
        try:
            # not wait_for: before Python 3.12 it loses a cancellation that meets the lock's hand-over
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            message = f"another transaction of this process has held the write lock for {_TURN_SECONDS:.0f} s"
            raise _BusyError(message, transient=True) from None
        try:
            yield
        finally:
            self._turn.release()

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


async def save(dialect: Dialect, connection: AsyncConnection, statement: Executable, parameters: Any) -> None:
    """Run a save's statement, again after a lost race that leaves its transaction as it was."""
    for _ in range(_RACES):
        try:
            await connection.execute(statement, parameters)
        except DBAPIError as error:
            if dialect.code(_driver_error(dialect, error)) not in dialect.lost_race_codes:
                raise
        else:
            return
    await connection.execute(statement, parameters)


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
    while not dialect.is_driver_error(inner) and inner.__cause__ is not None:
        inner = inner.__cause__
    return inner
