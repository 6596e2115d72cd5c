"""An aiosqlite connection that runs quick operations outside its thread, and interrupts cancelled ones."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

import aiosqlite

_POLL_MILLISECONDS = 100
_READS = ("SELECT", "PRAGMA")


class Connection(aiosqlite.Connection):
    """An aiosqlite connection with four changes.

    - Operations that do not block run inline instead of waking the thread: creating and closing cursors, and a rollback
      without a transaction.
    - A cancelled operation is interrupted, even while it waits for the file's lock.
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

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._active and self._is_quick(fn):
            return self._noted(fn(*args, **kwargs))
        step = partial(self._in_pieces, fn) if self._may_wait(fn, args) else fn
        self._active += 1  # not decremented after a cancellation, because the thread is still busy
        try:
            # a function without arguments, because aiosqlite logs arguments, such as stored values, at DEBUG level
            result = await super()._execute(lambda: step(*args, **kwargs))  # type: ignore[no-untyped-call]  # aiosqlite
        except asyncio.CancelledError:
            self._cancelled = True
            if self._connection is not None and isinstance(getattr(fn, "__self__", None), sqlite3.Cursor):
                with suppress(sqlite3.ProgrammingError):  # closed meanwhile
                    self._connection.interrupt()
            raise
        except Exception:  # whatever the step raises, the thread is no longer busy with it
            self._active -= 1
            raise
        self._active -= 1
        return self._noted(result)

    def _noted(self, result: Any) -> Any:
        if isinstance(result, sqlite3.Cursor):
            self._cursors.add(result)
        return result

    def _is_quick(self, step: Callable[..., Any]) -> bool:
        of, name = getattr(step, "__self__", None), getattr(step, "__name__", None)
        if isinstance(of, sqlite3.Cursor):
            return name == "close"
        return of is self._connection and (name == "cursor" or (name == "rollback" and not self.in_transaction))

    def _may_wait(self, step: Callable[..., Any], args: tuple[Any, ...]) -> bool:
        """Return whether a step may wait for the file's write lock."""
        of, name = getattr(step, "__self__", None), getattr(step, "__name__", None)
        writes = isinstance(of, sqlite3.Cursor) and name == "execute" and not args[0].startswith(_READS)
        return writes and not self.in_transaction

    def _in_pieces(self, step: Callable[..., Any], *args: Any) -> Any:
        """Run a step in the thread, and wait for the lock in short intervals, because a wait cannot be interrupted."""
        (whole,) = self._conn.execute("PRAGMA busy_timeout").fetchone()
        end = time.monotonic() + whole / 1000
        self._conn.execute(f"PRAGMA busy_timeout = {min(whole, _POLL_MILLISECONDS)}")
        try:
            while True:
                try:
                    return step(*args)
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
