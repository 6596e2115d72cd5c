"""One deployer at a time: the lock for a change of the schema, and the time-outs that protect a live server."""

import asyncio
import getpass
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage.engines import engine_like
from axon_storage.errors import StorageConnectionError
from axon_storage.executor import Executor

T = TypeVar("T")

_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a change of the schema waits, in seconds.

    ``deployer``: for another deployer to end. ``lock``: for each lock on a table, while all that a live server wants
    of that table queues up behind; it is tried again a few times, the queue having gone in between. ``statement``: for
    one statement, where the database can bound it (PostgreSQL and MariaDB).
    """

    deployer: float = 120.0
    lock: float = 5.0
    statement: float = 3600.0


async def deploy(engine: AsyncEngine, operation: str, work: Callable[[Connection], T], patience: Patience) -> T:
    """Run work that changes the schema, on a connection without a transaction, while no other deployer does.

    Work must be fit to be run again from its start: after a transient failure it is.
    """
    spare = engine_like(engine)  # its sessions are given settings, and end with the work
    executor = Executor(spare)

    async def attempt() -> T:
        with executor.translating(operation):
            async with _locked(executor, operation, patience.deployer), spare.connect() as connection:
                for setting in executor.dialect.deployment_settings(patience.lock, patience.statement):
                    await connection.exec_driver_sql(setting)
                await connection.commit()
                await connection.execution_options(**executor.options(writes=True))
                return await connection.run_sync(work)

    try:
        return await executor.again_after_failures(attempt)
    finally:
        await spare.dispose()


@asynccontextmanager
async def _locked(executor: Executor, operation: str, seconds: float) -> AsyncIterator[None]:
    """Hold the lock, on a connection of its own, since on the other some databases commit at every statement."""
    dialect, deadline = executor.dialect, time.monotonic() + seconds
    if dialect.upgrades_in_one_transaction:
        yield  # which is the lock
        return
    async with executor.engine.connect() as connection:
        while not await connection.run_sync(dialect.take_deployment_lock):
            if time.monotonic() > deadline:
                holder = await connection.run_sync(dialect.deployment_lock_holder)
                message = f"waited {seconds:g} s for another deployer: {holder}"
                raise StorageConnectionError(message, operation=operation)
            await asyncio.sleep(_POLL_SECONDS)
        try:
            async with executor.engine.begin() as other:
                await other.run_sync(dialect.sign_deployment_lock, _identity())
            yield
        finally:
            await connection.invalidate()  # in the pool it would keep the lock


def _identity() -> str:
    """Who this deployer is, for those who wait."""
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}, since {moment}"[:255]
