"""asyncpg by itself: with its pool's reset query, without it, and in the way of the upstream server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import orjson
from sqlalchemy.engine import URL

from axon_storage import EventRow, Row, SessionRow, TraceRow
from benchmarks.contenders.base import CONNECTIONS, Contender
from benchmarks.sql import POSTGRESQL as SQL
from benchmarks.sql import Values

_TRACE, _EVENT, _SESSION = (SQL.insert(row_type) for row_type in (TraceRow, EventRow, SessionRow))
_GET, _NEWEST, _ALL = SQL.get_trace(), SQL.newest_traces(), SQL.all_traces()
_DELETE = "DELETE FROM traces WHERE tenant_id = $1 AND trace_id = ANY($2)"
_SET_TENANT = "SELECT set_config('axon.current_tenant', $1, true)"
_PREFETCH = 1000


class Raw(Contender):
    """The methods of the pool: each takes a connection and sends one statement in autocommit."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool = pool

    async def save_trace(self, row: TraceRow) -> None:
        await self.pool.execute(_TRACE, *SQL.trace(row))

    async def append_event(self, row: EventRow) -> None:
        await self.pool.execute(_EVENT, *SQL.event(row))

    async def save_session(self, row: SessionRow) -> None:
        await self.pool.execute(_SESSION, *SQL.session(row))

    async def save_many(self, rows: Sequence[TraceRow]) -> None:
        await self.pool.executemany(_TRACE, [SQL.trace(row) for row in rows])  # atomic by itself

    async def get_trace(self, tenant: str, trace_id: int) -> Any:
        return await self.pool.fetchrow(_GET, tenant, trace_id)

    async def load_traces(self, tenant: str, limit: int) -> list[Any]:
        return await self.pool.fetch(_NEWEST, tenant, limit)

    async def restore(self, tenant: str) -> int:
        count = 0
        async with self.pool.acquire() as connection, connection.transaction():
            async for _ in connection.cursor(_ALL, tenant, prefetch=_PREFETCH):
                count += 1
        return count

    async def delete_traces(self, tenant: str, ids: list[int]) -> None:
        await self.pool.execute(_DELETE, tenant, ids)


class Upstream(Contender):
    """A transaction for each call, whose first statement sets the tenant: four round trips."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.pool = pool

    @asynccontextmanager
    async def _of(self, tenant: str) -> AsyncIterator[Any]:
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(_SET_TENANT, tenant)
            yield connection

    async def _save(self, statement: str, row: Row, values: Values) -> None:
        async with self._of(row.tenant_id) as connection:
            await connection.execute(statement, *values)

    async def save_trace(self, row: TraceRow) -> None:
        await self._save(_TRACE, row, SQL.trace(row))

    async def append_event(self, row: EventRow) -> None:
        await self._save(_EVENT, row, SQL.event(row))

    async def save_session(self, row: SessionRow) -> None:
        await self._save(_SESSION, row, SQL.session(row))

    async def get_trace(self, tenant: str, trace_id: int) -> Any:
        async with self._of(tenant) as connection:
            return await connection.fetchrow(_GET, tenant, trace_id)

    async def load_traces(self, tenant: str, limit: int) -> Any:
        async with self._of(tenant) as connection:
            return await connection.fetch(_NEWEST, tenant, limit)

    async def delete_traces(self, tenant: str, ids: list[int]) -> None:
        async with self._of(tenant) as connection:
            await connection.execute(_DELETE, tenant, ids)


def open_raw(url: URL) -> AbstractAsyncContextManager[Contender]:
    """Open asyncpg's pool with its defaults."""
    return _open(url, Raw)


def open_without_reset(url: URL) -> AbstractAsyncContextManager[Contender]:
    """Open asyncpg's pool without the reset query that it sends at each release."""
    return _open(url, Raw, reset=_nothing)


def open_upstream(url: URL) -> AbstractAsyncContextManager[Contender]:
    """Open the upstream contender, on a pool that sends nothing at a release, as that of the Rust server."""
    return _open(url, Upstream, reset=_nothing)


@asynccontextmanager
async def _open(url: URL, kind: Any, **options: Any) -> AsyncIterator[Contender]:
    dsn = url.render_as_string(hide_password=False)
    async with asyncpg.create_pool(
        dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, init=_with_orjson, **options
    ) as pool:
        yield kind(pool)


async def _with_orjson(connection: Any) -> None:
    await connection.set_type_codec("json", schema="pg_catalog", encoder=str, decoder=orjson.loads)


async def _nothing(_connection: Any) -> None:
    pass
