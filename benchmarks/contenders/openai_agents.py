"""openai-agents' SQLAlchemySession, on its own tables."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agents.extensions.memory.sqlalchemy_session import SQLAlchemySession
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from axon_storage import EventRow
from benchmarks.contenders.base import CONNECTIONS, Contender

_CONVERSATIONS = 512  # more than tasks, because calls in one conversation wait for each other


class OpenAIAgents(Contender):
    """A contender that adds one item in each call, in one conversation after another."""

    def __init__(self, sessions: list[SQLAlchemySession]) -> None:
        self._sessions = itertools.cycle(sessions)

    async def append_event(self, row: EventRow) -> None:
        payload: Any = row.payload
        await next(self._sessions).add_items([{"role": "user", "content": payload["text"]}])


@asynccontextmanager
async def open_peer(url: URL) -> AsyncIterator[Contender]:
    """Open an engine on asyncpg, and a session for each conversation."""
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"), pool_size=CONNECTIONS, max_overflow=0, pool_timeout=300
    )
    try:
        await SQLAlchemySession("first", engine=engine, create_tables=True).get_items()
        yield OpenAIAgents([SQLAlchemySession(f"c{n}", engine=engine) for n in range(_CONVERSATIONS)])
    finally:
        await engine.dispose()
