"""The schema's life: bring a database to a revision, and tell which it is at and whether that will do."""

import asyncio
import io
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple, TypeVar

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, String, column, inspect, select, table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from axon_storage.dialects import dialect_of
from axon_storage.engine.create import create_engine
from axon_storage.engine.executor import Executor
from axon_storage.errors import StorageConnectionError
from axon_storage.schema import adoption, drift
from axon_storage.schema.lock import MigrationTimeouts, deploy
from axon_storage.sql.tables import VERSION_TABLE
from axon_storage.sql.unit_of_work import UnitOfWork

T = TypeVar("T")

_REMEDY = "run `axon-storage migrate upgrade`, or open the storage once with migrate=True"
_TURN_SECONDS = 0.01

_busy = Lock()

_log = logging.getLogger(__name__)


class Revision(NamedTuple):
    """A revision's number and what it does, in words."""

    number: str
    title: str


async def upgrade(
    target: AsyncEngine | str, revision: str = "head", *, timeouts: MigrationTimeouts | None = None
) -> None:
    """Bring a database, given by its URL or its engine, up to a revision, by default this package's.

    One deployer at a time does so, on any number of hosts; the others wait and then find it done. What was cut off
    half-way is taken up again.
    """
    async with _engine(target) as engine:
        if revision == "head" and await _look(engine, "upgrade") == head():
            return  # without the lock, which an opening would wait for

        def step(connection: Connection, to: str) -> None:
            found = _current(connection)
            if found is not None and found not in _numbers() and (problem := _problem(found, allow_ahead=True)):
                raise StorageConnectionError(problem)
            connection.rollback()  # that look began a transaction, and the revisions begin their own
            if to != head() or _is_behind(found):
                command.upgrade(_config(connection), to)

        await _change(engine, "upgrade", _towards(revision, step), timeouts)


async def downgrade(target: AsyncEngine | str, revision: str, *, timeouts: MigrationTimeouts | None = None) -> None:
    """Bring a database down to a revision (``base``: none at all); what only later revisions keep is lost."""

    def step(connection: Connection, to: str) -> None:
        command.downgrade(_config(connection), to)

    await _change(target, "downgrade", _towards(revision, step), timeouts)


async def stamp(target: AsyncEngine | str, revision: str, *, timeouts: MigrationTimeouts | None = None) -> None:
    """Say that a database is at a revision, and change nothing else."""
    await _change(target, "stamp", lambda inner: command.stamp(_config(inner), revision, purge=True), timeouts)


async def adopt(
    target: AsyncEngine | str, *, dry_run: bool = False, timeouts: MigrationTimeouts | None = None
) -> adoption.Findings:
    """Turn an AxonServer's PostgreSQL tables into this package's, in one transaction, keeping every row and its order.

    A :class:`SerializationError` lists the values that do not fit; nothing is changed then, nor with ``dry_run``,
    which gives them among its findings.
    """

    def work(connection: Connection) -> adoption.Findings:
        with connection.begin():
            if dry_run:
                return adoption.look(connection)
            return adoption.adopt(connection, lambda inner: command.stamp(_config(inner), "head"))

    return await _change(target, "adopt", work, timeouts)


async def current(target: AsyncEngine | str) -> str | None:
    """The revision a database is at; None where it has no schema."""
    async with _engine(target) as engine:
        return await _look(engine, "current")


async def check(engine: AsyncEngine, *, allow_ahead: bool = False) -> None:
    """Raise a :class:`StorageConnectionError` with the remedy where the schema is not this package's.

    Settings of the server with which a commit may be lost are a warning in the log.
    """
    found, weak = await Executor(engine).run("open", UnitOfWork(_state, writes=False))
    if problem := _problem(found, allow_ahead=allow_ahead):
        raise StorageConnectionError(problem, operation="open")
    for setting in weak:
        _log.warning("%s: a call that has returned may be lost when the server or its machine fails", setting)


async def is_behind(connection: AsyncConnection) -> bool:
    """Whether the schema is missing or older than this package's."""
    return _is_behind(await connection.run_sync(_current))


async def differences(target: AsyncEngine | str) -> list[str]:
    """Give a line for each point in which a database's tables differ from this package's."""
    async with _engine(target) as engine:
        return await Executor(engine).run("check", UnitOfWork(drift.differences, writes=False))


def head() -> str:
    """The revision this package needs."""
    return history()[-1].number


@cache
def history() -> tuple[Revision, ...]:
    """Every revision of this package, the first one first."""
    scripts = ScriptDirectory.from_config(_config())
    return tuple(Revision(script.revision, script.doc) for script in reversed(list(scripts.walk_revisions())))


def script(url: str, revisions: str = "head", *, down: bool = False) -> str:
    """The SQL that takes a database from one revision to another (``0001:head``), for a DBA to read and run.

    The URL tells the kind of database; nothing connects to it.
    """
    written = io.StringIO()
    settings = _config()
    settings.output_buffer = written
    settings.cmd_opts = None
    settings.attributes["url"] = url
    if not _busy.acquire(blocking=False):  # to wait would stop the loop that runs the other
        raise StorageConnectionError("another migration of this process is under way", operation="script")
    try:
        _told("script", lambda: (command.downgrade if down else command.upgrade)(settings, revisions, sql=True))
    finally:
        _busy.release()
    return written.getvalue()


async def _look(engine: AsyncEngine, operation: str) -> str | None:
    return await Executor(engine).run(operation, UnitOfWork(_current, writes=False))


async def _change(
    target: AsyncEngine | str, operation: str, work: Callable[[Connection], T], timeouts: MigrationTimeouts | None
) -> T:
    def told(connection: Connection) -> T:
        return _told(operation, lambda: work(connection))

    async with _engine(target) as engine, _alembic():
        return await deploy(engine, operation, told, timeouts or MigrationTimeouts())


def _towards(revision: str, step: Callable[[Connection, str], None]) -> Callable[[Connection], None]:
    """Work that goes to one revision however often it is run: ``-1`` is one down from where it was found first."""
    to: str | None = None

    def work(connection: Connection) -> None:
        nonlocal to
        if to is None:
            to = _absolute(revision, _current(connection))
            connection.rollback()
        step(connection, to)

    return work


def _absolute(revision: str, found: str | None) -> str:
    if revision == "head":
        return head()
    if not re.fullmatch(r"[+-]\d+", revision):
        return revision
    numbers, start = ["base", *_numbers()], found or "base"
    place = numbers.index(start) + int(revision) if start in numbers else -1
    if not 0 <= place < len(numbers):
        raise StorageConnectionError(f"there is no revision {revision} from {start[:40]}")
    return numbers[place]


def _numbers() -> list[str]:
    return [revision.number for revision in history()]


def _told(operation: str, work: Callable[[], T]) -> T:
    """Run work, and make of Alembic's own refusals, such as of an unknown revision, one of ours."""
    try:
        return work()
    except CommandError as error:
        raise StorageConnectionError(str(error), operation=operation) from error


@asynccontextmanager
async def _engine(target: AsyncEngine | str) -> AsyncIterator[AsyncEngine]:
    if not isinstance(target, str):
        yield target
        return
    engine = create_engine(target)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def _alembic() -> AsyncIterator[None]:
    """One change of this process at a time, on whatever event loop: Alembic's context and operations are globals."""
    while not _busy.acquire(blocking=False):  # noqa: ASYNC110  # an Event belongs to one loop
        await asyncio.sleep(_TURN_SECONDS)
    try:
        yield
    finally:
        _busy.release()


def _config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for the migrations that came with this package."""
    result = Config()
    result.set_main_option("script_location", str(_location()).replace("%", "%%"))
    if connection is not None:
        result.attributes["connection"] = connection
    return result


def _location() -> Path:
    """In a wheel the migrations are inside the package, in a checkout beside it."""
    package = Path(__file__).parents[1]
    inside = package / "migrations"
    return inside if inside.exists() else package.parent / "migrations"


def _problem(found: str | None, *, allow_ahead: bool) -> str | None:
    """What is wrong with the revision a database is at, and what mends it."""
    needed = head()
    if found is None:
        return f"the database has no schema, revision {needed} is needed: {_REMEDY}"
    if _is_behind(found):
        return f"the schema is at revision {found}, revision {needed} is needed: {_REMEDY}"
    if found == needed:
        return None
    if not found.isdigit() or found < needed:
        remedy = "if the tables are this package's, say which revision they are with `axon-storage migrate stamp`"
        return f"the schema is at revision {found[:40]}, which is none of this package's; {needed} is needed: {remedy}"
    remedy = "upgrade this package, or open the storage with allow_ahead=True"
    return None if allow_ahead else f"the schema is at revision {found}, this package knows {needed}: {remedy}"


def _is_behind(found: str | None) -> bool:
    return found is None or found in _numbers()[:-1]


def _state(connection: Connection) -> tuple[str | None, list[str]]:
    """The revision a database is at, and the settings with which a commit may be lost."""
    dialect = dialect_of(connection.dialect)
    return _current(connection), [f"{dialect.title}'s {weak}" for weak in dialect.durability_problems(connection)]


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = table(VERSION_TABLE, column("version_num", String))
    return connection.execute(select(version.c.version_num)).scalar()
