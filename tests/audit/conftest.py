"""A database of each kind with audit entries of two tenants, which were appended three days ago."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import AuditRow, SqlRepository, StorageBackend, create_engine, schema
from axon_storage.sql.transfer import whole_table
from axon_storage.sql.types import RowId, UtcTimestamp
from axon_storage.testing.pruning import OLD
from axon_storage.testing.samples import sample
from axon_storage.transfer import pages
from tests.databases import SERVERS, Databases
from tests.pruning import clock_at

TENANT, OTHER = "acme ☕'", "z"

Ids = list[UUID]
Sql = Callable[..., Awaitable[int]]


@pytest.fixture(params=SERVERS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def repository(engine: AsyncEngine) -> SqlRepository:
    """The storage, empty."""
    return SqlRepository(engine)


@pytest.fixture
async def other(databases: Databases) -> AsyncIterator[SqlRepository]:
    """Another empty database, on SQLite."""
    url = await databases.empty("sqlite")
    await schema.upgrade(url)
    async with SqlRepository(create_engine(url)) as made:
        yield made


@pytest.fixture(autouse=True)
def _small_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seal has three entries, so that a chain of several seals is short."""
    monkeypatch.setattr(pages, "PAGE_ROWS", 3)


@pytest.fixture
def past(engine: AsyncEngine) -> SqlRepository:
    """The storage three days ago."""
    return SqlRepository(engine, clock=clock_at(OLD))


async def append(storage: StorageBackend, tenant: str, count: int) -> Ids:
    """Append entries, and return their ids."""
    view = storage.for_tenant(tenant)
    entries = [sample(AuditRow, tenant, action=f"act {number}", detail={"n": number}) for number in range(count)]
    return [await view.append_audit(entry) for entry in entries]


@pytest.fixture
async def ids(past: SqlRepository) -> Ids:
    """The ids of ten entries of a tenant; another tenant has four."""
    await append(past, OTHER, 4)
    return await append(past, TENANT, 10)


@pytest.fixture
def sql(engine: AsyncEngine) -> Sql:
    """Execute a statement of somebody who can write to the database, and return the number of changed rows.

    A parameter with the name of a column has its type, because an id and an empty string are stored in several ways.
    """

    async def execute(statement: str, **parameters: Any) -> int:
        types = {column.name: column.type for column in whole_table(AuditRow).c}
        others = {UUID: RowId(), type(OLD): UtcTimestamp()}
        binds = [
            bindparam(name, value, type_=types.get(name, others.get(type(value)))) for name, value in parameters.items()
        ]
        async with engine.begin() as connection:
            return (await connection.execute(text(statement).bindparams(*binds))).rowcount

    return execute


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """The files of a private and of its public key."""
    return key_files(tmp_path, "key")


def key_files(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a key, and return the files of its private and its public part."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # as the package does
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  # as above

    key, pem = Ed25519PrivateKey.generate(), serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}-public.pem"
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


HOUR = timedelta(hours=1)
