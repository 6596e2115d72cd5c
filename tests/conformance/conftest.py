"""The storage under test: every test runs on each target; those with ``storage`` run as two tenants."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SqlRepository, StorageBackend
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.pruning import OLD
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import everything
from tests.databases import TARGETS
from tests.pruning import clock_at

OTHER_TENANT = "another tenant"


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["default", "acme ☕'"])
def tenant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def repository(engine: AsyncEngine) -> SqlRepository:
    """The storage, empty, as the default tenant."""
    return SqlRepository(engine)


@pytest.fixture
async def storage(repository: SqlRepository, tenant: str) -> AsyncIterator[StorageBackend]:
    """The storage as one tenant. The rows of another tenant, with the same keys, must stay as they are."""
    other = repository.for_tenant(OTHER_TENANT)
    await other.save_many(sample(row_type, OTHER_TENANT) for row_type in ROW_TYPES)
    yield repository if tenant == "default" else repository.for_tenant(tenant)
    assert await everything(other) == [sample(row_type, OTHER_TENANT) for row_type in ROW_TYPES]


@pytest.fixture
async def past(engine: AsyncEngine, storage: StorageBackend) -> StorageBackend:
    """The storage three days ago, as the same tenant."""
    return SqlRepository(engine, clock=clock_at(OLD)).for_tenant(storage.current_tenant())
