"""Configures Alembic for this package's migrations, and runs one of its commands at a time.

Alembic is imported when it is used: a storage that finds its schema up to date starts faster without it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from axon_storage.errors import InvalidArgumentError, StorageConnectionError

if TYPE_CHECKING:
    from alembic.config import Config

SEE_HISTORY = "see `axon-storage migrate history` for the revisions"

_POLL_SECONDS = 0.01

_command_lock = Lock()
"""Held while an Alembic command runs, because Alembic keeps its state in global variables."""


def alembic_command() -> ModuleType:
    """Return the module of Alembic's commands."""
    from alembic import command  # noqa: PLC0415  # imported when it is used

    return command


def alembic_config(connection: Connection | None = None) -> "Config":
    """Return Alembic's configuration for this package's migrations. ``connection``: the one that commands use."""
    from alembic.config import Config  # noqa: PLC0415  # as above

    config = Config()
    config.set_main_option("script_location", str(migrations_directory()).replace("%", "%%"))
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def migrations_directory() -> Path:
    """Return the directory of the migrations: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "migrations"
    return inside if inside.exists() else package.parent / "migrations"


@contextmanager
def translate_alembic_errors(operation: str) -> Iterator[None]:
    """Convert Alembic's errors, such as that for an unknown revision, to an :class:`InvalidArgumentError`."""
    from alembic.util import CommandError  # noqa: PLC0415  # as above

    try:
        yield
    except CommandError as error:
        raise InvalidArgumentError(f"{error}: {SEE_HISTORY}", operation=operation) from error


@asynccontextmanager
async def wait_for_alembic() -> AsyncIterator[None]:
    """Wait until no other Alembic command runs in this process, and hold the lock for commands."""
    # polled, because the other command may run in another event loop, and an asyncio.Lock belongs to one loop
    while not _command_lock.acquire(blocking=False):  # noqa: ASYNC110
        await asyncio.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        _command_lock.release()


@contextmanager
def require_alembic(operation: str) -> Iterator[None]:
    """Hold the lock for Alembic commands; raise a StorageConnectionError if another one runs in this process."""
    # waiting would block the event loop that runs the other command
    if not _command_lock.acquire(blocking=False):
        raise StorageConnectionError("another migration of this process is in progress", operation=operation)
    try:
        yield
    finally:
        _command_lock.release()
