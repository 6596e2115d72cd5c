"""An empty storage with a keyring on a database of each kind, and the values that its database has."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import Row, SqlRepository, create_engine, schema
from axon_storage.encryption import Keyring, MasterKey, TenantSecretDirectory
from axon_storage.encryption.columns import document_columns
from axon_storage.sql.transfer import whole_table
from tests.databases import TARGETS, Databases

TENANT, OTHER = "acme ☕'", "z"

KEYS = {"one": MasterKey(bytes(range(32))), "two": MasterKey(bytes(range(32, 64))), "three": MasterKey(b"3" * 32)}


def keyring(*names: str, **options: Any) -> Keyring:
    """Return a keyring with these keys, of which the last one is active."""
    return Keyring({name: KEYS[name] for name in names}, active=names[-1], **options)


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def plain(engine: AsyncEngine) -> SqlRepository:
    """The storage without a keyring, empty."""
    return SqlRepository(engine)


@pytest.fixture
async def storage(engine: AsyncEngine) -> SqlRepository:
    """The storage with a keyring, empty."""
    return SqlRepository(engine, encryption=keyring("one"))


@pytest.fixture
def secrets(tmp_path: Path) -> TenantSecretDirectory:
    """An empty directory of secrets."""
    return TenantSecretDirectory.initialize(tmp_path / "secrets")


@pytest.fixture
async def other(databases: Databases) -> AsyncIterator[AsyncEngine]:
    """Another empty database, on SQLite."""
    url = await databases.empty("sqlite")
    await schema.upgrade(url)
    made = create_engine(url)
    yield made
    await made.dispose()


def long_columns(row_type: type[Row]) -> list[Column[Any]]:
    """Return the columns of documents, whose values are the stored text."""
    return [whole_table(row_type).c[column.name] for column in document_columns(row_type)]


Stored = Callable[[type[Row]], Awaitable[Sequence[tuple[Any, ...]]]]
Replace = Callable[..., Awaitable[None]]


@pytest.fixture
def stored(engine: AsyncEngine) -> Stored:
    """Return the stored texts of the documents in a table, in the order of the primary key."""

    async def read(row_type: type[Row]) -> Sequence[tuple[Any, ...]]:
        table = whole_table(row_type)
        async with engine.connect() as connection:
            found = await connection.execute(select(*long_columns(row_type)).order_by(*table.primary_key))
            return [tuple(row) for row in found]

    return read


@pytest.fixture
def replace(engine: AsyncEngine) -> Replace:
    """Do what somebody can who writes to the database: set a column of the rows of a tenant to a stored text."""

    async def execute(row_type: type[Row], column: str, value: Any, *, tenant: str = TENANT, **where: Any) -> None:
        table = whole_table(row_type)
        conditions = [table.c["tenant_id"] == tenant, *(table.c[name] == key for name, key in where.items())]
        async with engine.begin() as connection:
            changed = await connection.execute(update(table).where(*conditions).values({column: value}))
        assert changed.rowcount > 0

    return execute
