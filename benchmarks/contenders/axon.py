"""axon_storage, with its defaults and without group commit."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from sqlalchemy.engine import URL

from axon_storage import EventRow, SessionRow, StorageDispatcher, TraceRow, open_storage
from benchmarks.contenders.base import CONNECTIONS, Contender
from benchmarks.rows import KEPT, TENANT


class Axon(Contender):
    """The methods of axon_storage, on views for the two tenants."""

    def __init__(self, storage: StorageDispatcher) -> None:
        self._views = {tenant: storage.for_tenant(tenant) for tenant in (TENANT, KEPT)}
        self._own = self._views[TENANT]

    async def save_trace(self, row: TraceRow) -> None:
        await self._own.save_trace(row)

    async def append_event(self, row: EventRow) -> None:
        await self._own.append_event(row)

    async def save_session(self, row: SessionRow) -> None:
        await self._own.save_session(row)

    async def save_many(self, rows: Sequence[TraceRow]) -> None:
        await self._own.save_many(rows)

    async def get_trace(self, tenant: str, trace_id: int) -> Any:
        return await self._views[tenant].get_trace(trace_id)

    async def load_traces(self, tenant: str, limit: int) -> list[TraceRow]:
        return await self._views[tenant].load_traces(limit)

    async def restore(self, tenant: str) -> int:
        count = 0
        async for _ in self._views[tenant].iter_traces():
            count += 1
        return count

    async def delete_traces(self, tenant: str, ids: list[int]) -> None:
        await self._views[tenant].delete_traces(ids)


def open_axon(url: URL) -> AbstractAsyncContextManager[Contender]:
    """Open this package with its defaults, except the number of connections."""
    return _open(url)


def open_alone(url: URL) -> AbstractAsyncContextManager[Contender]:
    """Open this package without group commit."""
    return _open(url, group_commit=False)


@asynccontextmanager
async def _open(url: URL, **options: Any) -> AsyncIterator[Contender]:
    address = url.render_as_string(hide_password=False)
    async with open_storage(address, pool_size=CONNECTIONS, max_overflow=0, **options) as storage:
        yield Axon(storage)
