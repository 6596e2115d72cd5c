"""Creates, upgrades and checks the schema of a database.

Each function takes a database's URL or an engine. It does not dispose of an engine that it is given.
"""

import io
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from axon_storage.dialects import Distribution, dialect_of
from axon_storage.engine.create import create_engine
from axon_storage.engine.executor import Executor
from axon_storage.engine.url import hidden
from axon_storage.errors import InvalidArgumentError, StorageConnectionError
from axon_storage.schema import adoption, distribution, drift, row_security
from axon_storage.schema.adoption import Findings
from axon_storage.schema.alembic_setup import (
    alembic_command,
    alembic_config,
    require_alembic,
    translate_alembic_errors,
    wait_for_alembic,
)
from axon_storage.schema.grants import grants
from axon_storage.schema.lock import MigrationTimeouts, run_with_schema_lock
from axon_storage.schema.revisions import (
    Revision,
    absolute_revision,
    check_known,
    check_range,
    current_revision,
    drop_version_table,
    head,
    history,
    is_older,
    revision_problem,
)
from axon_storage.sql.unit_of_work import UnitOfWork

__all__ = [
    "Findings",
    "MigrationTimeouts",
    "Revision",
    "adopt",
    "check",
    "current",
    "differences",
    "distribute",
    "distribution_of",
    "downgrade",
    "grants",
    "head",
    "history",
    "is_behind",
    "script",
    "secure",
    "stamp",
    "unsecure",
    "upgrade",
]

T = TypeVar("T")

MOST_SHARDS = 64_000
"""The most parts that Citus gives a table."""

_log = logging.getLogger(__name__)


async def upgrade(
    target: AsyncEngine | str, revision: str = "head", *, timeouts: MigrationTimeouts | None = None
) -> None:
    """Upgrade a database to a revision: a number, a step such as ``+1``, or ``head``, the newest of this package.

    Several processes, also on several hosts, may call this at the same time: one upgrades, and the others wait and then
    have nothing to do. The next upgrade completes one that was interrupted.
    """
    target = hidden(target)
    async with _engine(target) as engine:
        if revision == "head" and await _read_revision(engine, "upgrade") == head():
            return  # opening an up-to-date database must not wait for the schema lock
        upgraded: list[str | None] = []

        def change(connection: Connection, to: str) -> None:
            found = current_revision(connection)
            check_known(found, allow_ahead=to == head())
            connection.rollback()  # reading the revision began a transaction; Alembic begins its own
            if to != head() or is_older(found):
                alembic_command().upgrade(alembic_config(connection), to)
                upgraded[:] = [found, to]

        await _migrate(engine, "upgrade", _with_absolute_revision(revision, change), timeouts)
        if upgraded:
            _log_schema(logging.INFO, "schema_upgraded", "upgraded the schema from revision %s to %s", *upgraded)


async def downgrade(target: AsyncEngine | str, revision: str, *, timeouts: MigrationTimeouts | None = None) -> None:
    """Downgrade a database to a revision: a number, a step such as ``-1``, or ``base``, which drops all tables.

    The tables and columns that later revisions added are dropped, with their data.
    """
    target = hidden(target)

    def change(connection: Connection, to: str) -> None:
        check_known(current_revision(connection))
        connection.rollback()
        alembic_command().downgrade(alembic_config(connection), to)
        if to == "base":
            drop_version_table(connection)  # Alembic's scripts drop it, and its command does not

    await _migrate(target, "downgrade", _with_absolute_revision(revision, change), timeouts)


async def stamp(target: AsyncEngine | str, revision: str, *, timeouts: MigrationTimeouts | None = None) -> None:
    """Set the recorded revision of a database without changing its tables."""
    target = hidden(target)

    def change(connection: Connection, to: str) -> None:
        alembic_command().stamp(alembic_config(connection), to, purge=True)

    await _migrate(target, "stamp", _with_absolute_revision(revision, change), timeouts)


async def adopt(
    target: AsyncEngine | str, *, dry_run: bool = False, timeouts: MigrationTimeouts | None = None
) -> Findings:
    """Convert an AxonServer's PostgreSQL tables to this package's, in one transaction, with all rows in their order.

    If this package cannot store some of the values, raise a :class:`SerializationError` that lists them, and change
    nothing. With ``dry_run`` change nothing, and return the list in the findings.
    """
    target = hidden(target)

    def change(connection: Connection) -> Findings:
        with connection.begin():
            if dry_run:
                return adoption.examine(connection)
            return adoption.adopt(connection, lambda inner: alembic_command().stamp(alembic_config(inner), "head"))

    return await _migrate(target, "adopt", change, timeouts)


async def secure(
    target: AsyncEngine | str, *, maintenance: str | None = None, timeouts: MigrationTimeouts | None = None
) -> None:
    """Switch on PostgreSQL's row-level security for every table, also for the owner of the tables.

    A transaction then uses the rows of those tenants only that it names in the setting ``axon_storage.tenants``.
    Storages do that by themselves. ``maintenance``: a role that sees the rows of every tenant; without it, an earlier
    one is kept. Raise an :class:`InvalidArgumentError` on another database. It may be repeated.
    """
    target = hidden(target)
    await _migrate(target, "secure", lambda connection: row_security.secure(connection, maintenance), timeouts)
    _log.info("switched on row-level security", extra={"storage_event": "secured"})


async def unsecure(target: AsyncEngine | str, *, timeouts: MigrationTimeouts | None = None) -> None:
    """Switch off what :func:`secure` has switched on."""
    target = hidden(target)
    await _migrate(target, "unsecure", row_security.unsecure, timeouts)
    _log.info("switched off row-level security", extra={"storage_event": "unsecured"})


async def distribute(
    target: AsyncEngine | str, *, shards: int | None = None, timeouts: MigrationTimeouts | None = None
) -> list[str]:
    """Distribute the tables over the workers of a Citus cluster, by tenant, and return the names of those it has.

    ``shards``: the number of parts of each table; None is the server's ``citus.shard_count``. Other sessions can write
    meanwhile, if the coordinator has ``wal_level = logical``. The tables are distributed one after another, so that an
    interrupted call is completed by the next one. Raise an :class:`InvalidArgumentError` on another database.
    """
    target = hidden(target)
    if shards is not None and not 1 <= shards <= MOST_SHARDS:
        raise InvalidArgumentError(f"shards must be between 1 and {MOST_SHARDS:,}")

    def change(connection: Connection) -> list[str]:
        return distribution.distribute(connection, shards)

    return await _migrate(target, "distribute", change, timeouts)


async def distribution_of(target: AsyncEngine | str) -> Distribution | None:
    """Return which tables are distributed, and how; None if the server cannot distribute tables."""
    target = hidden(target)
    async with _engine(target) as engine:
        return await Executor(engine).run("check", UnitOfWork(distribution.distribution, writes=False))


async def current(target: AsyncEngine | str) -> str | None:
    """Return the revision of a database, or None if it has no schema."""
    target = hidden(target)
    async with _engine(target) as engine:
        return await _read_revision(engine, "current")


async def check(engine: AsyncEngine, *, allow_ahead: bool = False) -> None:
    """Raise a :class:`StorageConnectionError` with a remedy unless the schema has this package's revision.

    ``allow_ahead``: accept a newer revision. Log a warning for each setting of the server with which a committed
    transaction can be lost.
    """

    def read(connection: Connection) -> tuple[str | None, list[str]]:
        dialect = dialect_of(connection.dialect)
        problems = [f"{dialect.title}'s {problem}" for problem in dialect.durability_problems(connection)]
        return current_revision(connection), problems

    found, durability_problems = await Executor(engine).run("open", UnitOfWork(read, writes=False))
    if problem := revision_problem(found, allow_ahead=allow_ahead):
        raise StorageConnectionError(problem, operation="open")
    if found == head():
        _log_schema(logging.DEBUG, "schema_checked", "the schema has revision %s, as this package needs", found)
    else:
        _log_schema(logging.INFO, "schema_ahead", "the schema has revision %s, newer than this package's", found)
    for setting in durability_problems:
        _log.warning("%s: committed data may be lost when the server or its machine crashes", setting)


async def is_behind(connection: AsyncConnection) -> bool:
    """Return whether the schema is missing or older than this package's."""
    return is_older(await connection.run_sync(current_revision))


async def differences(target: AsyncEngine | str) -> list[str]:
    """Compare a database's tables with this package's, and return a line for each difference."""
    target = hidden(target)
    async with _engine(target) as engine:
        return await Executor(engine).run("check", UnitOfWork(drift.differences, writes=False))


def script(url: str, revisions: str = "head", *, down: bool = False) -> str:
    """Return the SQL that migrates a database from one revision to another (``0001:head``).

    ``url``: selects the SQL dialect; no connection is made. ``down``: downgrade.
    """
    url = hidden(url)
    check_range(revisions, down=down)
    output = io.StringIO()
    config = alembic_config()
    config.output_buffer = output
    config.cmd_opts = None
    config.attributes["url"] = url
    with require_alembic("script"), translate_alembic_errors("script"):
        getattr(alembic_command(), "downgrade" if down else "upgrade")(config, revisions, sql=True)
    return output.getvalue()


def _log_schema(level: int, event: str, message: str, *revisions: str | None) -> None:
    _log.log(level, message, *revisions, extra={"storage_event": event, "revision": revisions[-1]})


async def _read_revision(engine: AsyncEngine, operation: str) -> str | None:
    return await Executor(engine).run(operation, UnitOfWork(current_revision, writes=False))


async def _migrate(
    target: AsyncEngine | str, operation: str, change: Callable[[Connection], T], timeouts: MigrationTimeouts | None
) -> T:
    """Run a schema change; no other one runs in this process or on the database meanwhile."""

    def run(connection: Connection) -> T:
        with translate_alembic_errors(operation):
            return change(connection)

    async with _engine(target) as engine, wait_for_alembic():
        return await run_with_schema_lock(engine, operation, run, timeouts or MigrationTimeouts())


def _with_absolute_revision(revision: str, change: Callable[[Connection, str], None]) -> Callable[[Connection], None]:
    """Return a change that can be retried: its first run determines the revision of a step such as ``-1``."""
    to: str | None = None

    def run(connection: Connection) -> None:
        nonlocal to
        if to is None:
            to = absolute_revision(revision, current_revision(connection))
            connection.rollback()
        change(connection, to)

    return run


@asynccontextmanager
async def _engine(target: AsyncEngine | str) -> AsyncIterator[AsyncEngine]:
    """Yield the caller's engine, or a temporary engine for a URL."""
    if not isinstance(target, str):
        yield target
        return
    engine = create_engine(target)
    try:
        yield engine
    finally:
        await engine.dispose()
