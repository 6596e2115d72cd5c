"""advanced-alchemy's async repository, on the events table of this package."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from advanced_alchemy.base import DefaultBase
from advanced_alchemy.config import AsyncSessionConfig, EngineConfig, SQLAlchemyAsyncConfig
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from sqlalchemy import JSON, DateTime
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

from axon_storage import EventRow, new_id
from benchmarks.contenders.base import CONNECTIONS, Contender


class Event(DefaultBase):
    """The model of the events table."""

    __tablename__ = "event_history"

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    topic: Mapped[str]
    source: Mapped[str]
    payload: Mapped[Any] = mapped_column(JSON)
    timestamp_utc: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Events(SQLAlchemyAsyncRepository[Event]):
    """The repository of the model."""

    model_type = Event


class AdvancedAlchemy(Contender):
    """A contender with a session for each call, as a server has for each request."""

    def __init__(self, config: SQLAlchemyAsyncConfig) -> None:
        self._config = config

    async def append_event(self, row: EventRow) -> None:
        event = Event(
            tenant_id=row.tenant_id, id=new_id(), topic=row.topic, source=row.source, payload=row.payload,
            timestamp_utc=datetime.now(UTC),
        )  # fmt: skip
        async with self._config.get_session() as session:
            await Events(session=session).add(event, auto_commit=True)


@asynccontextmanager
async def open_peer(url: URL) -> AsyncIterator[Contender]:
    """Open advanced-alchemy's engine, with objects that do not expire, as in its documentation."""
    config = SQLAlchemyAsyncConfig(
        connection_string=url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False),
        engine_config=EngineConfig(pool_size=CONNECTIONS, max_overflow=0, pool_timeout=300),
        session_config=AsyncSessionConfig(expire_on_commit=False),
    )
    try:
        yield AdvancedAlchemy(config)
    finally:
        await config.get_engine().dispose()
