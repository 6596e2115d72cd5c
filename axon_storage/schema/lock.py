"""The schema lock, which lets one process at a time change a database's schema, and the timeouts of migrations."""

import asyncio
import getpass
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from axon_storage.dialects import Dialect, dialect_of
from axon_storage.engine.connections import connected
from axon_storage.engine.create import engine_like
from axon_storage.engine.executor import Executor
from axon_storage.errors import InvalidArgumentError, StorageConnectionError

T = TypeVar("T")

_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class MigrationTimeouts:
    """How long a migration waits, in seconds.

    ``schema_lock``: for the schema lock, which another process holds while it migrates.

    ``lock``: for each lock on a table. Meanwhile every other statement on that table waits too, so keep it short. After
    a pause of the same length the migration tries again, a few times.

    ``statement``: for one statement, on PostgreSQL and MariaDB; the other databases have no such limit.
    """

    schema_lock: float = 120.0
    lock: float = 2.0
    statement: float = 3600.0

    def __post_init__(self) -> None:
        if not all(0.001 <= seconds < 10**6 for seconds in (self.schema_lock, self.lock, self.statement)):
            raise InvalidArgumentError("a timeout must be at least 0.001 and less than 1,000,000 seconds")


async def run_with_schema_lock(
    engine: AsyncEngine,
    operation: str,
    change: Callable[[Connection], T],
    timeouts: MigrationTimeouts,
    *,
    retry: bool = True,
) -> T:
    """Run a schema change while holding the schema lock, on a connection without an open transaction.

    ``retry``: run it again from its start after a transient failure.
    """
    executor, lock_engine = Executor(engine_like(engine)), engine_like(engine)

    async def attempt() -> T:
        with executor.translate_errors(operation):
            async with (
                connected(executor.engine) as connection,
                _schema_lock(connection, lock_engine, operation, timeouts),
            ):
                await connection.run_sync(dialect_of(connection.dialect).check_migrates)
                await connection.rollback()
                for setting in dialect_of(connection.dialect).migration_settings(timeouts.lock, timeouts.statement):
                    await connection.exec_driver_sql(setting)
                await connection.commit()
                await connection.execution_options(**executor.connections.options(writes=True))
                return await connection.run_sync(change)

    try:
        return await (executor.retry(attempt, pause=timeouts.lock) if retry else attempt())
    finally:
        await executor.engine.dispose()
        await lock_engine.dispose()


def process_identity() -> str:
    """Describe this process, for the messages of processes that wait for its schema lock."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        user = f"user {os.getuid()}"
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{user}@{socket.gethostname()}, process {os.getpid()}, since {now}"[:255]


@asynccontextmanager
async def _schema_lock(
    connection: AsyncConnection, lock_engine: AsyncEngine, operation: str, timeouts: MigrationTimeouts
) -> AsyncIterator[None]:
    """Hold the schema lock.

    A session holds the lock: the migration's own, so that the lock ends with the migration even if the process is
    killed; or, where DDL would release the lock, as on Oracle, a session of ``lock_engine``. The session is closed at
    the end, because in a pool it would keep the lock.
    """
    dialect = dialect_of(connection.dialect)
    async with (
        lock_engine.connect() if dialect.schema_lock_has_own_connection else nullcontext(connection) as lock_connection
    ):
        try:
            await _acquire(lock_connection, dialect, operation, timeouts.schema_lock)
            if dialect.schema_lock_has_own_connection:
                await connection.run_sync(dialect.record_schema_lock_holder, process_identity())
                await connection.commit()
            yield
        finally:
            await lock_connection.invalidate()


async def _acquire(connection: AsyncConnection, dialect: Dialect, operation: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await connection.run_sync(dialect.acquire_schema_lock):
        if time.monotonic() > deadline:
            holder = await connection.run_sync(dialect.schema_lock_holder)
            message = f"waited {seconds:g} s for the schema lock, which another process holds: {holder}"
            raise StorageConnectionError(message, operation=operation)
        await asyncio.sleep(_POLL_SECONDS)
