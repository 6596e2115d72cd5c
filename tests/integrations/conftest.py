"""The storage of an integration: every test with a storage runs on each target."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SqlRepository
from tests.databases import SERVERS


@pytest.fixture(params=SERVERS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def repository(engine: AsyncEngine) -> SqlRepository:
    """The storage, empty."""
    return SqlRepository(engine)
