"""Plain SQLAlchemy Core: its own types on the same tables, and one ``engine.begin()`` for each call."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, DateTime, MetaData, String, Table, Text, Uuid, delete, event, select
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from axon_storage import EventRow, Row, SessionRow, TraceRow, new_id
from axon_storage.dialects import WRITTEN_ONCE
from axon_storage.sql.tables import TABLES, UPDATED_AT
from benchmarks.contenders.base import CONNECTIONS, Contender
from benchmarks.sql import read_columns

_DRIVERS = {
    "postgresql": "postgresql+asyncpg",
    "mariadb": "mariadb+aiomysql",
    "mysql": "mysql+aiomysql",
    "sqlite": "sqlite+aiosqlite",
}
_AT_ONCE = 10_000


class Core(Contender):
    """A contender with one transaction for each call."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        types = _types(native_uuid=engine.dialect.name == "postgresql")
        own = MetaData()
        tables = [_table(TABLES[row_type], own, types) for row_type in (TraceRow, EventRow, SessionRow)]
        self._traces, self._events, self._sessions = tables
        self._trace, self._event, self._session = (_upsert(engine.dialect.name, table) for table in tables)
        self._read = select(*(self._traces.c[name] for name in read_columns(TraceRow)))

    async def _save(self, statement: Any, values: Any) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(statement, values)

    async def save_trace(self, row: TraceRow) -> None:
        await self._save(self._trace, _values(row) | {"created_id": new_id()})

    async def append_event(self, row: EventRow) -> None:
        await self._save(self._event, _values(row) | {"id": new_id(), "timestamp_utc": datetime.now(UTC)})

    async def save_session(self, row: SessionRow) -> None:
        await self._save(self._session, _values(row))

    async def save_many(self, rows: Sequence[TraceRow]) -> None:
        await self._save(self._trace, [_values(row) | {"created_id": new_id()} for row in rows])

    async def get_trace(self, tenant: str, trace_id: int) -> Any:
        traces = self._traces.c
        query = self._read.where(traces.tenant_id == tenant, traces.trace_id == trace_id)
        async with self._engine.connect() as connection:
            return (await connection.execute(query)).mappings().one()

    async def load_traces(self, tenant: str, limit: int) -> Sequence[Any]:
        query = self._read.where(self._traces.c.tenant_id == tenant).order_by(self._traces.c.created_id.desc())
        async with self._engine.connect() as connection:
            return (await connection.execute(query.limit(limit))).mappings().all()

    async def restore(self, tenant: str) -> int:
        query = self._read.where(self._traces.c.tenant_id == tenant).order_by(self._traces.c.created_id)
        count = 0
        async with self._engine.connect() as connection:
            async for _ in await connection.stream(query, execution_options={"yield_per": 1000}):
                count += 1
        return count

    async def delete_traces(self, tenant: str, ids: list[int]) -> None:
        traces = self._traces
        async with self._engine.begin() as connection:
            for start in range(0, len(ids), _AT_ONCE):
                chosen = traces.c.trace_id.in_(ids[start : start + _AT_ONCE])
                await connection.execute(delete(traces).where(traces.c.tenant_id == tenant, chosen))


@asynccontextmanager
async def open_core(url: URL) -> AsyncIterator[Contender]:
    """Open a plain engine of SQLAlchemy; on SQLite with this package's durability and one connection."""
    embedded = url.drivername == "sqlite"
    size = 1 if embedded else CONNECTIONS
    driver = url.set(drivername=_DRIVERS[url.drivername])
    engine = create_async_engine(driver, pool_size=size, max_overflow=0, pool_timeout=300)
    if embedded:
        event.listen(engine.sync_engine, "connect", _make_durable)
    try:
        yield Core(engine)
    finally:
        await engine.dispose()


def _make_durable(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _types(*, native_uuid: bool) -> dict[str, Callable[[], Any]]:
    """Return SQLAlchemy's own type for each column type of this package."""
    return {
        "UInt64": BigInteger,
        "UInt32": BigInteger,
        "Identifier": String,
        "LongText": Text,
        "JsonDocument": JSON,
        "UtcTimestamp": lambda: DateTime(timezone=True),
        "RowId": lambda: Uuid(native_uuid=native_uuid),
    }


def _table(table: Table, metadata: MetaData, types: dict[str, Callable[[], Any]]) -> Table:
    columns = [
        Column(c.name, types[type(c.type).__name__](), primary_key=c.primary_key, autoincrement=False, info=c.info)
        for c in table.columns
    ]
    return Table(table.name, metadata, *columns)


def _upsert(dialect: str, table: Table) -> Any:
    keys = list(table.primary_key)
    appended = "id" in table.c
    names = [c.name for c in table.columns if not (c.primary_key or c.info.get(WRITTEN_ONCE))]
    if dialect in {"mysql", "mariadb"}:
        into = mysql.insert(table)
        return into.on_duplicate_key_update(
            {"id": table.c.id} if appended else {name: into.inserted[name] for name in names}
        )
    insert = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    if appended:
        return insert.on_conflict_do_nothing(index_elements=keys)
    return insert.on_conflict_do_update(index_elements=keys, set_={name: insert.excluded[name] for name in names})


def _values(row: Row) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in read_columns(type(row))}
    return values | {UPDATED_AT: datetime.now(UTC)} if UPDATED_AT in TABLES[type(row)].c else values
