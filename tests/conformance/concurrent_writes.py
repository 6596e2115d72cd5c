"""Helpers for tests of writes that run at the same time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import EventRow, SessionRow, SqlRepository, StorageBackend, create_engine
from axon_storage.testing.samples import sample

CALLS = 64

several_writers = pytest.mark.not_on("sqlite", "only one transaction at a time can write")
short_lock_waits = pytest.mark.not_on(
    "oracle", "a row that is not committed cannot be locked, so a batch waits for its transaction"
)


def save(storage: StorageBackend, key: str, value: str = "") -> Awaitable[None]:
    """Save a session entry of the scope ``s``."""
    return storage.save_session(sample(SessionRow, scope="s", key=key, value=value))


async def value_of(storage: StorageBackend, key: str) -> str | None:
    """Return the value of an entry of the scope ``s``, or None if there is none."""
    entry = await storage.get_session("s", key)
    return None if entry is None else entry.value


def start(*calls: Awaitable[Any]) -> "list[asyncio.Future[Any]]":
    """Start each call in a task of its own."""
    return [asyncio.ensure_future(call) for call in calls]


def appends(storage: StorageBackend, names: Sequence[object]) -> "list[asyncio.Future[Any]]":
    """Start one append for each name, with the name as the event's source."""
    return start(*(storage.append_event(sample(EventRow, source=str(name))) for name in names))


async def sources(storage: StorageBackend) -> list[str]:
    """Return the sources of all events, sorted."""
    return sorted(row.source for row in await storage.query_events(None, 99_999))


@asynccontextmanager
async def storage_with(url: str, *, group_commit: bool = True, **options: Any) -> AsyncIterator[SqlRepository]:
    """Open a storage on an engine with these options."""
    async with SqlRepository(create_engine(url, **options), group_commit=group_commit) as storage:
        yield storage


_REFUSE = {
    "sqlite": "CREATE TRIGGER refusing BEFORE INSERT ON event_history WHEN NEW.source = 'bad' "
    "BEGIN SELECT RAISE(ABORT, 'refused'); END",
}
_ALLOW = {"sqlite": "DROP TRIGGER refusing"}
_ADD = "ALTER TABLE event_history ADD CONSTRAINT refusing CHECK (source <> 'bad')"
_DROP = "ALTER TABLE event_history DROP CONSTRAINT refusing"


@asynccontextmanager
async def refusing(engine: AsyncEngine, target: str) -> AsyncIterator[None]:
    """Let the database refuse events whose source is ``bad`` while the block runs."""
    async with engine.begin() as connection:
        # SQLite does not notice that another connection has dropped the trigger until it has read a table.
        await connection.execute(text("SELECT count(*) FROM event_history"))
        await connection.execute(text(_REFUSE.get(target, _ADD)))
    try:
        yield
    finally:
        async with engine.begin() as connection:
            await connection.execute(text(_ALLOW.get(target, _DROP)))


@contextmanager
def tasks_of_statements(engine: AsyncEngine) -> Iterator[list["asyncio.Task[Any] | None"]]:
    """Record the task that runs each statement, except BEGIN and SET."""
    tasks: list[asyncio.Task[Any] | None] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        # SQLite's BEGIN is a statement; a new connection of group commit sends SET to shorten its lock waits
        if not statement.startswith(("BEGIN", "SET")):
            tasks.append(asyncio.current_task())

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield tasks
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)
