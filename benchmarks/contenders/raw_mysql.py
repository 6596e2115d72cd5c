"""aiomysql by itself, on MariaDB and MySQL."""

import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiomysql
from sqlalchemy.engine import URL

from axon_storage import EventRow, SessionRow, TraceRow
from benchmarks.contenders.base import CONNECTIONS, Contender
from benchmarks.sql import MYSQL as SQL
from benchmarks.sql import Values, decoded, row_alias

_DELETE = "DELETE FROM traces WHERE tenant_id = %s AND trace_id IN ({})"
_AT_ONCE = 10_000


class Raw(Contender):
    """A contender that takes a connection of the pool and sends one statement in autocommit for each call."""

    def __init__(self, pool: Any, rewrite: Callable[[str], str]) -> None:
        self.pool = pool
        self._many = SQL.insert(TraceRow)
        self._trace, self._event, self._session = (
            rewrite(SQL.insert(kind)) for kind in (TraceRow, EventRow, SessionRow)
        )

    async def _execute(self, statement: str, values: Values) -> Sequence[Values]:
        async with self.pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(statement, values)
            return await cursor.fetchall()  # type: ignore[no-any-return]  # aiomysql is untyped

    async def save_trace(self, row: TraceRow) -> None:
        await self._execute(self._trace, SQL.trace(row))

    async def append_event(self, row: EventRow) -> None:
        await self._execute(self._event, SQL.event(row))

    async def save_session(self, row: SessionRow) -> None:
        await self._execute(self._session, SQL.session(row))

    async def save_many(self, rows: Sequence[TraceRow]) -> None:
        async with self._transaction() as cursor:
            await cursor.executemany(self._many, [SQL.trace(row) for row in rows])

    async def get_trace(self, tenant: str, trace_id: int) -> Any:
        return decoded((await self._execute(SQL.get_trace(), (tenant, trace_id)))[0])

    async def load_traces(self, tenant: str, limit: int) -> list[Any]:
        return [decoded(row) for row in await self._execute(SQL.newest_traces(), (tenant, limit))]

    async def restore(self, tenant: str) -> int:
        count = 0
        async with self.pool.acquire() as connection, connection.cursor(aiomysql.SSCursor) as cursor:
            await cursor.execute(SQL.all_traces(), (tenant,))
            while rows := await cursor.fetchmany(1000):
                count += len([decoded(row) for row in rows])
        return count

    async def delete_traces(self, tenant: str, ids: list[int]) -> None:
        async with self._transaction() as cursor:
            for start in range(0, len(ids), _AT_ONCE):
                numbers = ",".join(map(str, ids[start : start + _AT_ONCE]))
                await cursor.execute(_DELETE.format(numbers), (tenant,))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Any]:
        async with self.pool.acquire() as connection, connection.cursor() as cursor:
            await connection.begin()
            yield cursor
            await connection.commit()


@asynccontextmanager
async def open_raw(url: URL) -> AsyncIterator[Contender]:
    """Open aiomysql's pool; on MySQL, statements use its newer syntax."""
    warnings.filterwarnings("ignore", "'VALUES function' is deprecated")  # executemany needs it
    pool = await aiomysql.create_pool(
        host=url.host, port=url.port, user=url.username, password=url.password, db=url.database,
        minsize=CONNECTIONS, maxsize=CONNECTIONS, autocommit=True, charset="utf8mb4",
    )  # fmt: skip
    try:
        yield Raw(pool, row_alias if url.drivername.startswith("mysql") else str)
    finally:
        pool.close()
        await pool.wait_closed()
