"""Private servers with default durability, and new databases with the schema."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from axon_storage import create_engine, open_storage, schema
from benchmarks import rows
from tests.servers import mysql, packages, postgresql
from tests.servers.process import Process, StartError

DATABASES = ("postgresql", "mariadb", "mysql", "sqlite")

# The tests' servers do not sync; these settings restore the defaults, including MySQL's binary log.
_POSTGRESQL = "fsync = on\nfull_page_writes = on\nsynchronous_commit = on\n"
_INNODB = "innodb-flush-log-at-trx-commit = 1\ninnodb-doublewrite = 1\n"
_MYSQL = _INNODB + "log-bin = binlog\nserver-id = 1\nsync-binlog = 1\n"

_FILLED_AT_ONCE = 10_000

Start = Callable[[Path], tuple[list[Process], str]]


class UnavailableError(Exception):
    """A server is not available on this machine; the message says why."""


def _postgresql(directory: Path) -> tuple[list[Process], str]:
    return postgresql.start(directory, _there(packages.postgresql()), _POSTGRESQL)


def _mariadb(directory: Path) -> tuple[list[Process], str]:
    return mysql.start(directory, mysql.mariadb(_there(packages.mariadb())), _INNODB)


def _mysql(directory: Path) -> tuple[list[Process], str]:
    return mysql.start(directory, mysql.mysql(_there(packages.mysql())), _MYSQL)


def _there(programs: Path | None) -> Path:
    if programs is None:
        raise UnavailableError("its programs are not on this machine; `make servers` gets them")
    return programs


_STARTS: dict[str, Start] = {"postgresql": _postgresql, "mariadb": _mariadb, "mysql": _mysql}


class Server:
    """A running server, or a directory for SQLite's files, that creates databases."""

    def __init__(self, name: str, url: URL) -> None:
        self.name, self._url = name, url

    async def database(self) -> URL:
        """Create a database with the schema, and return its URL."""
        name = f"bench_{uuid4().hex[:12]}"
        if self.name == "sqlite":
            url = self._url.set(database=f"{self._url.database}/{name}.db")
        else:
            async with connected(self._url, autocommit=True) as connection:
                await connection.execute(text(f"CREATE DATABASE {name}"))
            url = self._url.set(database=name)
        await schema.upgrade(address(url))
        return url

    async def version(self) -> str:
        """Return the server's version."""
        queries = {"sqlite": "SELECT sqlite_version()", "postgresql": "SHOW server_version"}
        query = queries.get(self.name, "SELECT version()")
        url = await self.database() if self.name == "sqlite" else self._url
        async with connected(url) as connection:
            return str((await connection.execute(text(query))).scalar_one())


@contextmanager
def served(name: str) -> Iterator[Server]:
    """Start a server; an UnavailableError says why it is not available."""
    directory = Path(tempfile.mkdtemp(prefix=f"axon-bench-{name}-"))
    directory.chmod(0o711)  # the server may run under another account
    processes: list[Process] = []
    try:
        if name == "sqlite":
            yield Server(name, URL.create("sqlite", database=str(directory)))
        else:
            try:
                processes, url = _STARTS[name](directory)
            except (StartError, OSError, LookupError) as error:
                raise UnavailableError(str(error)) from error
            yield Server(name, make_url(url))
    finally:
        for process in processes:
            process.stop()
        shutil.rmtree(directory, ignore_errors=True)


def address(url: URL) -> str:
    """Return a URL as text, with its password."""
    return url.render_as_string(hide_password=False)


@asynccontextmanager
async def connected(url: URL, *, autocommit: bool = False) -> AsyncIterator[AsyncConnection]:
    """Open a connection, in a transaction that is committed at the end, or with ``autocommit`` in none."""
    engine = create_engine(address(url))
    try:
        if autocommit:
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                yield connection
        else:
            async with engine.begin() as connection:
                yield connection
    finally:
        await engine.dispose()


async def fill(url: URL, count: int) -> None:
    """Store the kept traces, numbered from zero, and a copy of them for ``put_back``."""
    async with open_storage(address(url)) as storage:
        kept = storage.for_tenant(rows.KEPT)
        for start in range(0, count, _FILLED_AT_ONCE):
            numbers = range(start, min(start + _FILLED_AT_ONCE, count))
            await kept.save_many([rows.trace(number, rows.KEPT) for number in numbers])
    async with connected(url) as connection:
        await connection.execute(text("CREATE TABLE kept_traces AS SELECT * FROM traces"))
    await settle(url)


async def put_back(url: URL) -> None:
    """Store the deleted traces again."""
    async with connected(url) as connection:
        await connection.execute(text("INSERT INTO traces SELECT * FROM kept_traces"))


async def settle(url: URL) -> None:
    """Run the maintenance that the database would run by itself later, after many new rows."""
    commands = {"postgresql": ["VACUUM ANALYZE traces, event_history", "CHECKPOINT"], "sqlite": ["ANALYZE"]}
    async with connected(url, autocommit=True) as connection:
        for command in commands.get(url.drivername, ["ANALYZE TABLE traces, event_history"]):
            await connection.execute(text(command))


async def read_all(url: URL, table: str, tenant: str) -> list[dict[str, Any]]:
    """Return the rows of a tenant in a table, as they are stored."""
    query = text(f"SELECT * FROM {table} WHERE tenant_id = :tenant")
    async with connected(url) as connection:
        return [dict(row) for row in (await connection.execute(query, {"tenant": tenant})).mappings()]
