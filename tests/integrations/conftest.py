"""The storage of an integration, and a client: every test with a storage runs on each target."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SqlRepository, StorageBackend
from axon_storage.integrations.langgraph import AxonSaver
from tests.databases import SERVERS


@pytest.fixture(params=SERVERS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def repository(engine: AsyncEngine) -> SqlRepository:
    """The storage, empty."""
    return SqlRepository(engine)


@pytest.fixture
def storage(repository: SqlRepository) -> StorageBackend:
    """The storage as one tenant."""
    return repository.for_tenant("acme")


@pytest.fixture
async def saver(storage: StorageBackend) -> AxonSaver:
    return AxonSaver(storage)
