"""Configures Alembic for this package's migrations, and lets one command of it run at a time."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Lock

from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from axon_storage.errors import StorageConnectionError

_POLL_SECONDS = 0.01

_command_lock = Lock()
"""Held while one of Alembic's commands runs, because Alembic keeps its context and operations in globals."""


def alembic_config(connection: Connection | None = None) -> Config:
    """Give Alembic's configuration for the migrations of this package; commands run on ``connection``."""
    config = Config()
    config.set_main_option("script_location", str(_migrations_directory()).replace("%", "%%"))
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def _migrations_directory() -> Path:
    """In a wheel the migrations are inside the package, in a checkout they are beside it."""
    package = Path(__file__).parents[1]
    inside = package / "migrations"
    return inside if inside.exists() else package.parent / "migrations"


@contextmanager
def translate_alembic_errors(operation: str) -> Iterator[None]:
    """Turn Alembic's own errors, such as that for an unknown revision, into a :class:`StorageConnectionError`."""
    try:
        yield
    except CommandError as error:
        raise StorageConnectionError(str(error), operation=operation) from error


@asynccontextmanager
async def wait_for_alembic() -> AsyncIterator[None]:
    """Wait until no other command of Alembic runs in this process, and let no other one start."""
    # polled, since the other command may run in another event loop, and an asyncio.Lock belongs to one loop
    while not _command_lock.acquire(blocking=False):  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        _command_lock.release()


@contextmanager
def require_alembic(operation: str) -> Iterator[None]:
    """Let no other command of Alembic start in this process; raise where one runs."""
    # waiting would block the event loop that runs the other command
    if not _command_lock.acquire(blocking=False):
        raise StorageConnectionError("another migration of this process is in progress", operation=operation)
    try:
        yield
    finally:
        _command_lock.release()
