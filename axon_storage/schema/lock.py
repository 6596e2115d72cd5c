"""One deployer at a time: the lock for a change of the schema, and the time-outs that protect a live server."""

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
from axon_storage.engine.create import engine_like
from axon_storage.engine.executor import Executor
from axon_storage.errors import StorageConnectionError

T = TypeVar("T")

_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class MigrationTimeouts:
    """How long a change of the schema waits, in seconds.

    ``deployer``: for another deployer to end. ``lock``: for each lock on a table, while all that a live server wants
    of that table queues up behind; it is tried again a few times, after a pause as long for the queue to go.
    ``statement``: for one statement, where the database can bound it (PostgreSQL and MariaDB).
    """

    deployer: float = 120.0
    lock: float = 2.0
    statement: float = 3600.0

    def __post_init__(self) -> None:
        if not all(0.001 <= seconds < 10**6 for seconds in (self.deployer, self.lock, self.statement)):
            raise ValueError("a wait must be between a thousandth of a second and a million seconds")


async def deploy(
    engine: AsyncEngine,
    operation: str,
    work: Callable[[Connection], T],
    timeouts: MigrationTimeouts,
    *,
    again: bool = True,
) -> T:
    """Run work that changes the schema, on a connection without a transaction, while no other deployer does.

    ``again``: whether it is run once more after a transient failure; it must be fit to be run from its start then.
    """
    executor, keeper = Executor(engine_like(engine)), engine_like(engine)

    async def attempt() -> T:
        with executor.translate_errors(operation):
            async with executor.engine.connect() as connection, _locked(connection, keeper, operation, timeouts):
                for setting in executor.dialect.migration_settings(timeouts.lock, timeouts.statement):
                    await connection.exec_driver_sql(setting)
                await connection.commit()
                await connection.execution_options(**executor.connections.options(writes=True))
                return await connection.run_sync(work)

    try:
        return await (executor.retry(attempt, pause=timeouts.lock) if again else attempt())
    finally:
        await executor.engine.dispose()
        await keeper.dispose()


@asynccontextmanager
async def _locked(
    connection: AsyncConnection, keeper: AsyncEngine, operation: str, timeouts: MigrationTimeouts
) -> AsyncIterator[None]:
    """Hold the lock, and then give up the connection that had it, which in a pool would keep it.

    That is the connection that does the work, so that the lock lasts as long as what it does, also where the deployer
    is killed; another one, of ``keeper``, where each change of the schema would end it.
    """
    dialect = dialect_of(connection.dialect)
    async with keeper.connect() if dialect.deployment_lock_apart else nullcontext(connection) as holder:
        try:
            await _take(holder, dialect, operation, timeouts.deployer)
            if dialect.deployment_lock_apart:
                await connection.run_sync(dialect.record_schema_lock_holder, _identity())
                await connection.commit()
            yield
        finally:
            await holder.invalidate()


async def _take(connection: AsyncConnection, dialect: Dialect, operation: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not await connection.run_sync(dialect.acquire_schema_lock):
        if time.monotonic() > deadline:
            holder = await connection.run_sync(dialect.schema_lock_holder)
            message = f"waited {seconds:g} s for another deployer: {holder}"
            raise StorageConnectionError(message, operation=operation)
        await asyncio.sleep(_POLL_SECONDS)


def _identity() -> str:
    """Who this deployer is, for those who wait."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"user {os.getuid()}"
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{user}@{socket.gethostname()}, process {os.getpid()}, since {moment}"[:255]
