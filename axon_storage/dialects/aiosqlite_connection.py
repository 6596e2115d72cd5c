"""An aiosqlite connection whose thread is woken for what may take time alone."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import aiosqlite


class Connection(aiosqlite.Connection):
    """Does at once what takes no time, for which aiosqlite wakes its thread, as it does for all.

    That makes and closes cursors, and rolls back where nothing has begun. What is cancelled is interrupted.
    """

    _under_way = 0

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._under_way and self._is_quick(fn):
            return fn(*args, **kwargs)
        self._under_way += 1  # and so it stays where this is cancelled: the thread ends it at some later moment
        try:
            result = await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]  # as aiosqlite has it
        except asyncio.CancelledError:
            if self._connection is not None:
                # else what waits for the file's lock would be done when it has it
                with suppress(sqlite3.ProgrammingError):  # closed meanwhile: there is nothing to interrupt
                    self._connection.interrupt()
            raise
        except Exception:
            self._under_way -= 1
            raise
        self._under_way -= 1
        return result

    def _is_quick(self, step: Callable[..., Any]) -> bool:
        of, name = getattr(step, "__self__", None), getattr(step, "__name__", None)
        if isinstance(of, sqlite3.Cursor):
            return name == "close"
        return of is self._connection and (name == "cursor" or (name == "rollback" and not self.in_transaction))


def connect(database: str, **options: Any) -> Connection:
    """Give what SQLAlchemy awaits for a connection to a file."""
    connection = Connection(partial(sqlite3.connect, database, **options | {"check_same_thread": False}), 64)
    connection._thread.daemon = True  # as SQLAlchemy makes it, lest a connection left open keep a process from ending
    return connection
