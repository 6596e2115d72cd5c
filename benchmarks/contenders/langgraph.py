"""langgraph's checkpointer for PostgreSQL, on its own tables."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy.engine import URL

from axon_storage import EventRow
from benchmarks.contenders.base import CONNECTIONS, Contender


class LangGraph(Contender):
    """A contender with one write in each call, and one saver for each connection: a saver runs one call at a time."""

    def __init__(self, savers: list[AsyncPostgresSaver]) -> None:
        self._savers = itertools.cycle(savers)
        self._numbers = itertools.count()

    async def append_event(self, row: EventRow) -> None:
        number = next(self._numbers)
        thread = {"thread_id": row.topic, "checkpoint_ns": "", "checkpoint_id": f"{number:032x}"}
        await next(self._savers).aput_writes({"configurable": thread}, [("events", row.payload)], row.source)


@asynccontextmanager
async def open_peer(url: URL) -> AsyncIterator[Contender]:
    """Open a pool as in langgraph's documentation."""
    options: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    dsn = url.render_as_string(hide_password=False)
    pool: Any = AsyncConnectionPool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs=options, open=False)
    async with pool:
        savers = [AsyncPostgresSaver(pool) for _ in range(CONNECTIONS)]
        await savers[0].setup()
        yield LangGraph(savers)
