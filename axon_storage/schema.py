"""The schema's life: bring a database to this package's revision, and tell whether it is there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, String, column, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from axon_storage.engines import create_engine
from axon_storage.errors import StorageConnectionError
from axon_storage.executor import Executor
from axon_storage.tables import VERSION_TABLE

_REMEDY = "run `alembic upgrade head` in a checkout, or open the storage once with migrate=True"
_TURN_SECONDS = 0.01

_busy = Lock()


async def upgrade(target: AsyncEngine | str) -> None:
    """Bring a database, given by its URL or its engine, to this package's revision."""
    if isinstance(target, str):
        engine = create_engine(target)
        try:
            return await upgrade(engine)
        finally:
            await engine.dispose()

    async def work(connection: AsyncConnection) -> None:
        await connection.run_sync(_upgrade)

    async with _alembic():
        return await Executor(target).run("upgrade", work, writes=True)


async def check(engine: AsyncEngine, *, allow_ahead: bool = False) -> None:
    """Raise a :class:`StorageConnectionError` with the remedy where the schema is not this package's."""

    async def work(connection: AsyncConnection) -> str | None:
        return await connection.run_sync(_current)

    current = await Executor(engine).run("open", work, writes=False)
    if problem := _problem(current, allow_ahead=allow_ahead):
        raise StorageConnectionError(problem, operation="open")


async def is_behind(connection: AsyncConnection) -> bool:
    """Whether the schema is missing or older than this package's."""
    return _is_behind(await connection.run_sync(_current))


def head() -> str:
    """The revision this package needs."""
    return _revisions()[-1]


def config() -> Config:
    """Alembic's configuration for the migrations that came with this package."""
    result = Config()
    result.set_main_option("script_location", str(_location()).replace("%", "%%"))
    return result


@asynccontextmanager
async def _alembic() -> AsyncIterator[None]:
    """One upgrade of this process at a time, on whatever event loop: Alembic's context and operations are globals."""
    while not _busy.acquire(blocking=False):  # noqa: ASYNC110  # an Event belongs to one loop
        await asyncio.sleep(_TURN_SECONDS)
    try:
        yield
    finally:
        _busy.release()


def _location() -> Path:
    """In a wheel the migrations are inside the package, in a checkout beside it."""
    package = Path(__file__).parent
    inside = package / "migrations"
    return inside if inside.exists() else package.parent / "migrations"


@cache
def _revisions() -> tuple[str, ...]:
    scripts = ScriptDirectory.from_config(config())
    return tuple(script.revision for script in reversed(list(scripts.walk_revisions())))


def _problem(current: str | None, *, allow_ahead: bool) -> str | None:
    """What is wrong with the revision a database is at, and what mends it."""
    if current is None:
        return f"the database has no schema, revision {head()} is needed: {_REMEDY}"
    if _is_behind(current):
        return f"the schema is at revision {current}, revision {head()} is needed: {_REMEDY}"
    if current == head() or allow_ahead:
        return None
    remedy = "upgrade this package, or open the storage with allow_ahead=True"
    return f"the schema is at revision {current}, this package knows {head()}: {remedy}"


def _is_behind(current: str | None) -> bool:
    return current is None or current in _revisions()[:-1]


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = table(VERSION_TABLE, column("version_num", String))
    return connection.execute(select(version.c.version_num)).scalar()


def _upgrade(connection: Connection) -> None:
    if _is_behind(_current(connection)):
        settings = config()
        settings.attributes["connection"] = connection
        command.upgrade(settings, "head")
