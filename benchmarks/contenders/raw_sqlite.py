"""aiosqlite by itself: one connection, whose thread runs one statement after another."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite
from sqlalchemy.engine import URL

from axon_storage import EventRow, SessionRow, TraceRow
from benchmarks.contenders.base import Contender
from benchmarks.sql import SQLITE as SQL
from benchmarks.sql import Values, decoded

_TRACE, _EVENT, _SESSION = (SQL.insert(row_type) for row_type in (TraceRow, EventRow, SessionRow))
_DELETE = "DELETE FROM traces WHERE tenant_id = ? AND trace_id = ?"


class Raw(Contender):
    """Single statements are sent in autocommit; transactions hold a lock, because the connection is shared."""

    def __init__(self, connection: aiosqlite.Connection, cursor: aiosqlite.Cursor) -> None:
        self._connection, self._cursor = connection, cursor
        self._lock = asyncio.Lock()

    async def save_trace(self, row: TraceRow) -> None:
        await self._cursor.execute(_TRACE, SQL.trace(row))

    async def append_event(self, row: EventRow) -> None:
        await self._cursor.execute(_EVENT, SQL.event(row))

    async def save_session(self, row: SessionRow) -> None:
        await self._cursor.execute(_SESSION, SQL.session(row))

    async def save_many(self, rows: Sequence[TraceRow]) -> None:
        await self._together(_TRACE, [SQL.trace(row) for row in rows])

    async def get_trace(self, tenant: str, trace_id: int) -> Any:
        return decoded((await self._fetch(SQL.get_trace(), tenant, trace_id))[0])

    async def load_traces(self, tenant: str, limit: int) -> list[Any]:
        return [decoded(row) for row in await self._fetch(SQL.newest_traces(), tenant, limit)]

    async def restore(self, tenant: str) -> int:
        count = 0
        async with self._connection.execute(SQL.all_traces(), (tenant,)) as cursor:
            while rows := list(await cursor.fetchmany(1000)):
                count += len([decoded(tuple(row)) for row in rows])
        return count

    async def delete_traces(self, tenant: str, ids: list[int]) -> None:
        await self._together(_DELETE, [(tenant, trace_id) for trace_id in ids])

    async def _fetch(self, statement: str, *values: Any) -> list[Values]:
        return list(await self._connection.execute_fetchall(statement, values))  # type: ignore[arg-type]  # rows are tuples

    async def _together(self, statement: str, rows: list[Values]) -> None:
        async with self._lock:
            await self._cursor.execute("BEGIN IMMEDIATE")
            await self._cursor.executemany(statement, rows)
            await self._cursor.execute("COMMIT")


@asynccontextmanager
async def open_raw(url: URL) -> AsyncIterator[Contender]:
    """Open a connection with the settings of this package."""
    assert url.database is not None  # a file
    async with aiosqlite.connect(url.database, isolation_level=None) as connection:
        for setting in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 30000"):
            await connection.execute(f"PRAGMA {setting}")
        async with connection.cursor() as cursor:
            yield Raw(connection, cursor)
