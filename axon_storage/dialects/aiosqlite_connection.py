"""An aiosqlite connection that hands few steps to its thread, and interrupts cancelled ones."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from typing import Any, Self
from weakref import WeakSet

import aiosqlite
from aiosqlite.context import contextmanager

_POLL_MILLISECONDS = 100
_READS = ("SELECT", "PRAGMA")

_ROWS_AHEAD = 256
"""The most rows that are read in the step that executes a statement. A longer result is read as it is fetched."""


class Cursor(aiosqlite.Cursor):
    """A cursor that reads the first rows of a result in the step that executes the statement."""

    def __init__(self, connection: "Connection", cursor: sqlite3.Cursor) -> None:
        super().__init__(connection, cursor)
        self._connection = connection
        self._rows: list[Any] = []
        self._has_more = False

    async def execute(self, sql: str, parameters: Any = None) -> Self:
        """Execute a statement, and read the first rows of its result."""
        self._rows = await self._connection.interruptible(self._start, sql, () if parameters is None else parameters)
        self._has_more = len(self._rows) == _ROWS_AHEAD
        return self

    def _start(self, sql: str, parameters: Any) -> list[Any]:
        if sql.startswith(_READS) or self._connection.in_transaction:
            self._cursor.execute(sql, parameters)
        else:
            self._connection.in_pieces(partial(self._cursor.execute, sql, parameters))
        return self._cursor.fetchmany(_ROWS_AHEAD)  # none, if the statement has no result

    async def executemany(self, sql: str, parameters: Any) -> Self:
        """Execute a statement once for each of several parameters."""
        await self._connection.interruptible(self._cursor.executemany, sql, parameters)
        return self

    async def fetchone(self) -> Any:
        """Return the next row, or None."""
        return next(iter(await self.fetchmany(1)), None)

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows: up to ``size``, or ``arraysize``."""
        count = self._cursor.arraysize if size is None else size
        rows, self._rows = self._rows[:count], self._rows[count:]
        if len(rows) < count and self._has_more:
            rows += await self._connection.interruptible(self._cursor.fetchmany, count - len(rows))
        return rows

    async def fetchall(self) -> list[Any]:
        """Return the remaining rows."""
        rows, self._rows = self._rows, []
        if self._has_more:
            rows += await self._connection.interruptible(self._cursor.fetchall)
        return rows

    async def close(self) -> None:
        """Close the cursor; not in the thread, unless a cancelled step is still running there."""
        if self._connection.is_busy:
            await super().close()
        else:
            self._cursor.close()


class Connection(aiosqlite.Connection):
    """An aiosqlite connection with four changes.

    - The thread runs only what can take time: neither the creation nor the end of a cursor, nor a rollback without a
      transaction. The first rows of a result are read in the step that executes the statement.
    - A cancelled step of a cursor is interrupted, even while it waits for the file's lock.
    - Stored values do not appear in aiosqlite's log.
    - If the file cannot be opened, the thread has ended before the error is raised.
    """

    _active = 0
    _cancelled = False
    _stopped: asyncio.Future[Any] | None = None

    def __init__(self, connector: Callable[[], sqlite3.Connection], *args: Any, **options: Any) -> None:
        self._opened: list[sqlite3.Connection] = []
        super().__init__(partial(_open, connector, self._opened), *args, **options)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def stop(self) -> asyncio.Future[Any] | None:
        """Close the file and end the thread, even if opening the file was cancelled.

        aiosqlite does not close a connection that its thread opens after the cancellation.
        """
        self._tx.put_nowait((None, partial(_close, self._opened)))
        self._stopped = super().stop()
        return self._stopped

    async def _connect(self) -> aiosqlite.Connection:
        try:
            return await super()._connect()
        except Exception:  # whatever the reason is that the file cannot be opened
            # aiosqlite does not wait for its thread, which would print an error if the event loop was closed meanwhile
            if self._stopped is not None:
                await self._stopped
            raise

    @property
    def is_busy(self) -> bool:
        """Whether the thread runs a step, which may have been cancelled."""
        return self._active > 0

    @contextmanager
    async def cursor(self) -> Cursor:  # type: ignore[override]  # a Result is not covariant
        """Create a cursor."""
        cursor = self._conn.cursor()
        self._cursors.add(cursor)
        return Cursor(self, cursor)

    async def rollback(self) -> None:
        """Roll back; not in the thread, if there is no transaction."""
        if self.is_busy or self.in_transaction:
            await super().rollback()

    async def discard(self) -> None:
        """Close the cursors, and roll back.

        A statement that was interrupted before its last row was read is active until its cursor is closed. Meanwhile
        SQLite interrupts a ROLLBACK too, and keeps the file's lock even after the connection is closed.
        """
        await self._execute(self._end)

    def _end(self) -> None:
        for cursor in list(self._cursors):
            cursor.close()
        self._conn.rollback()

    async def fetch(self, sql: str, parameters: Any) -> list[Any]:
        """Return the rows of a SELECT, in one step of the thread."""
        rows: list[Any] = await self.interruptible(self._fetch, sql, parameters)
        return rows

    async def write(self, sql: str, parameters: Any) -> int:
        """Execute a statement that commits by itself, in one step; return the number of rows that it changed."""
        cursor = await self.interruptible(self.in_pieces, partial(self._conn.execute, sql, parameters))
        return int(cursor.rowcount)

    async def write_in_transaction(self, sql: str, parameters: Any, commits: Callable[[], None]) -> int:
        """Execute a statement in a transaction, in one step; return the number of rows that it changed.

        ``commits`` is called in the thread before COMMIT. An error, or a cancellation, rolls back.
        """
        count: int = await self.interruptible(self._write_in_transaction, sql, parameters, commits)
        return count

    def _fetch(self, sql: str, parameters: Any) -> list[Any]:
        with closing(self._conn.execute(sql, parameters)) as cursor:
            return cursor.fetchall()

    def _write_in_transaction(self, sql: str, parameters: Any, commits: Callable[[], None]) -> int:
        self.in_pieces(partial(self._conn.execute, "BEGIN IMMEDIATE"))
        try:
            count = self._conn.execute(sql, parameters).rowcount
            commits()
            if self._cancelled:
                raise sqlite3.OperationalError("interrupted")
            self._conn.execute("COMMIT")
        finally:
            if self.in_transaction:
                self._conn.rollback()
        return count

    async def interruptible(self, step: Callable[..., Any], *args: Any) -> Any:
        """Run a step of a cursor in the thread, and interrupt it if the caller is cancelled."""
        try:
            return await self._execute(step, *args)
        except asyncio.CancelledError:
            if self._connection is not None:
                with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                    self._connection.interrupt()
            raise

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._active += 1  # not decremented after a cancellation, because the thread is still busy
        try:
            # a function without arguments, because aiosqlite logs arguments, such as stored values, at DEBUG level
            result = await super()._execute(lambda: fn(*args, **kwargs))  # type: ignore[no-untyped-call]  # aiosqlite
        except asyncio.CancelledError:
            self._cancelled = True
            raise
        except Exception:  # whatever the step raises, the thread is no longer busy with it
            self._active -= 1
            raise
        self._active -= 1
        return result

    def in_pieces(self, step: Callable[[], Any]) -> Any:
        """Run a step in the thread, and wait for the lock in short intervals, because a wait cannot be interrupted."""
        (whole,) = self._conn.execute("PRAGMA busy_timeout").fetchone()
        end = time.monotonic() + whole / 1000
        self._conn.execute(f"PRAGMA busy_timeout = {min(whole, _POLL_MILLISECONDS)}")
        try:
            while True:
                try:
                    return step()
                except sqlite3.OperationalError as error:
                    busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                    if not busy or self._cancelled or time.monotonic() >= end:
                        raise
        finally:
            self._conn.execute(f"PRAGMA busy_timeout = {whole}")


def _open(connector: Callable[[], sqlite3.Connection], opened: list[sqlite3.Connection]) -> sqlite3.Connection:
    opened.append(connector())
    return opened[-1]


def _close(opened: list[sqlite3.Connection]) -> None:
    for connection in opened:
        connection.close()


def connect(database: str, **options: Any) -> Connection:
    """Return a connection to a file, for SQLAlchemy to await."""
    connection = Connection(partial(sqlite3.connect, database, **options | {"check_same_thread": False}), 64)
    connection._thread.daemon = True  # as SQLAlchemy does: an open connection does not keep the process from ending
    return connection
