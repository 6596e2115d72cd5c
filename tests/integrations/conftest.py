"""The storage and the clients under test: every test runs on each server."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SqlRepository, StorageBackend
from axon_storage.integrations.langgraph import AxonSaver
from tests.databases import SERVERS

OTHER_TENANT = "another tenant"


@pytest.fixture(params=SERVERS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def repository(engine: AsyncEngine) -> AsyncIterator[SqlRepository]:
    """The storage, empty. The clients' entries of another tenant stay as they are."""
    made = SqlRepository(engine)
    yield made
    assert await made.for_tenant(OTHER_TENANT).session_scopes() == []


@pytest.fixture
def storage(repository: SqlRepository) -> StorageBackend:
    return repository.for_tenant("acme")


@pytest.fixture
async def saver(storage: StorageBackend) -> AxonSaver:
    return AxonSaver(storage)
