"""Ephemeral databases: copies of a template with the newest schema, each for one test."""

import asyncio
import shutil
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import URL, Row, exists, literal, select, text, union_all
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from axon_storage import create_engine, schema
from axon_storage.dialects import dialect_of
from axon_storage.engine.url import parse_url
from axon_storage.sql.tables import metadata

T = TypeVar("T")

FILLED_TABLES = union_all(
    *(
        select(literal(table.name)).where(exists(select(literal(1)).select_from(table)))
        for table in metadata.sorted_tables
    )
)
"""A query for the names of the tables that have rows."""


class EphemeralDatabases(Protocol):
    """Provides databases for tests."""

    def create(self) -> str:
        """Return the URL of a database with the newest schema and no rows, which no other test uses."""

    def release(self, url: str) -> None:
        """Drop a database that :meth:`create` has returned, or empty it for another test."""


@contextmanager
def open_databases(url: str | None, paths: pytest.TempPathFactory) -> Iterator[EphemeralDatabases]:
    """Open the ephemeral databases of a session: on the server of a URL, or without one in SQLite files."""
    with _Loop() as loop:
        if url is None:
            yield _Files(loop, paths.mktemp("axon-storage"))
        else:
            server = _Server(loop, parse_url(url))
            try:
                yield server
            finally:
                server.close()


class _Loop:
    """An event loop in a thread of its own, because each test may have another loop."""

    def __enter__(self) -> "_Loop":
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="axon-storage")
        self._runner = self._thread.submit(asyncio.Runner).result()
        return self

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop, and wait for its result."""
        return self._thread.submit(self._runner.run, coroutine).result()

    def __exit__(self, *_: object) -> None:
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()


class _Files:
    """SQLite files in one directory."""

    def __init__(self, loop: _Loop, directory: Path) -> None:
        self._directory, self._template = directory, directory / "template.db"
        loop.run(schema.upgrade(f"sqlite:///{self._template}"))

    def create(self) -> str:
        file = self._directory / f"{uuid4().hex}.db"
        shutil.copyfile(self._template, file)
        return f"sqlite:///{file}"

    def release(self, url: str) -> None:
        name = make_url(url).database or ""
        for suffix in ("", "-wal", "-shm"):
            Path(name + suffix).unlink(missing_ok=True)


class _Copy(NamedTuple):
    """A copy of the template. ``state``: that of its schema."""

    engine: AsyncEngine
    state: Row[Any]


class _Server:
    """Databases on a server that copies a template. Their names are new, and only they are dropped.

    Copying takes longer than most tests. So a database is emptied and used again, unless a test has changed its schema.
    """

    def __init__(self, loop: _Loop, url: URL) -> None:
        self._loop, self._url = loop, url
        self._server = create_engine(url, pool_size=1)
        copies = dialect_of(self._server.dialect).copies
        if copies is None:
            pytest.fail("ephemeral databases are SQLite files, or databases on a PostgreSQL server", pytrace=False)
        self._copies = copies
        self._template, self._free, self._known = _new_name("template"), list[str](), dict[str, _Copy]()
        loop.run(self._make_template())

    def create(self) -> str:
        if not self._free:
            self._free.append(self._loop.run(self._copy()))
        return self._free.pop()

    def release(self, url: str) -> None:
        if self._loop.run(self._empty(url)):
            self._free.append(url)
        else:
            self._loop.run(self._drop(url))

    def close(self) -> None:
        """Drop all databases, and close the connections."""
        self._loop.run(self._close())

    async def _make_template(self) -> None:
        await _execute(self._server, f"CREATE DATABASE {self._template}")
        try:
            await schema.upgrade(self._url_of(self._template))
        except BaseException:
            await self._close()
            raise

    async def _copy(self) -> str:
        name = _new_name("test")
        await _execute(self._server, self._copies.create.format(name=name, template=self._template))
        url = self._url_of(name)
        engine = create_engine(url, pool_size=1)
        try:
            async with engine.connect() as connection:
                self._known[url] = _Copy(engine, await self._state(connection))
        except BaseException:
            await engine.dispose()
            await self._drop_database(name)
            raise
        return url

    async def _state(self, connection: AsyncConnection) -> Row[Any]:
        return (await connection.execute(text(self._copies.schema_state))).one()

    async def _empty(self, url: str) -> bool:
        """Delete all rows, and return whether the database is then as it was created."""
        copy = self._known[url]
        async with copy.engine.begin() as connection:
            await connection.execute(text(self._copies.end_sessions))
            if await self._state(connection) != copy.state:
                return False
            for name in (await connection.execute(FILLED_TABLES)).scalars().all():
                await connection.execute(metadata.tables[name].delete())
        return True

    async def _drop(self, url: str) -> None:
        await self._known.pop(url).engine.dispose()
        await self._drop_database(make_url(url).database or "")

    async def _drop_database(self, name: str) -> None:
        await _execute(self._server, self._copies.drop.format(name=name))

    async def _close(self) -> None:
        for url in list(self._known):
            await self._drop(url)
        await self._drop_database(self._template)
        await self._server.dispose()

    def _url_of(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)


async def _execute(engine: AsyncEngine, statement: str) -> None:
    """Execute a statement outside a transaction."""
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text(statement))


def _new_name(kind: str) -> str:
    return f"axon_{kind}_{uuid4().hex}"
