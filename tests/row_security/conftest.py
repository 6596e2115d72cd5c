"""A secured database for the whole run, empty for each test, and a storage on it as an account that is bound."""

from collections.abc import AsyncIterator

import pytest

from axon_storage import SqlRepository, create_engine
from tests.databases import Databases
from tests.row_security.secured import TARGET, Secured, secured_database


@pytest.fixture(params=[TARGET])
def target(request: pytest.FixtureRequest) -> str:
    """The target, so that all these tests run in the process that has the server."""
    return str(request.param)


@pytest.fixture(scope="session")
async def secured_for_run(known_databases: Databases) -> Secured:
    return await secured_database(known_databases, for_run=True)


@pytest.fixture
async def secured(secured_for_run: Secured, target: str) -> Secured:
    """The secured database, without rows."""
    assert target == TARGET
    await secured_for_run.empty()
    return secured_for_run


@pytest.fixture
def url(secured: Secured) -> str:
    """The URL of an account that may also prune and erase, and is bound to the tenants that it names."""
    return secured.whole


@pytest.fixture
async def repository(url: str) -> AsyncIterator[SqlRepository]:
    """A repository as the account of ``url``."""
    repository = SqlRepository(create_engine(url, pool_size=8, max_overflow=40))
    yield repository
    await repository.close()


@pytest.fixture
async def storage(repository: SqlRepository) -> SqlRepository:
    """The storage under test of the conformance suite."""
    return repository
