"""Databases for the tests of transfers: a source with difficult values, and an empty target of each kind."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from axon_storage import SqlRepository, create_engine, schema
from tests.databases import SERVERS, Databases
from tests.transfer.filling import fill


@pytest.fixture(params=SERVERS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def repository(databases: Databases, target: str) -> SqlRepository:
    """An empty database of the target's kind."""
    return SqlRepository((await databases.ready(target))[1])


@pytest.fixture
async def other(databases: Databases) -> AsyncIterator[SqlRepository]:
    """Another empty database, on SQLite."""
    async with _on_sqlite(databases) as made:
        yield made


@pytest.fixture
async def empty(databases: Databases) -> AsyncIterator[SqlRepository]:
    """A third empty database, on SQLite."""
    async with _on_sqlite(databases) as made:
        yield made


@asynccontextmanager
async def _on_sqlite(databases: Databases) -> AsyncIterator[SqlRepository]:
    url = await databases.empty("sqlite")
    await schema.upgrade(url)
    async with SqlRepository(create_engine(url)) as made:
        yield made


@pytest.fixture(scope="session")
async def filled_file(known_databases: Databases) -> Path:
    """A SQLite file with difficult values of several tenants."""
    async with _on_sqlite(known_databases) as made:
        await fill(made)
    return Path(str(made.engine.url.database))


@pytest.fixture
async def filled(databases: Databases, filled_file: Path) -> AsyncIterator[SqlRepository]:
    """A database with difficult values of several tenants, on SQLite."""
    url = await databases.empty("sqlite")
    shutil.copyfile(filled_file, str(make_url(url).database))
    async with SqlRepository(create_engine(url)) as made:
        yield made
