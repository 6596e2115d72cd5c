"""The storage under test: every test runs on each target; those with ``storage`` run as two tenants.

On a server the storage has the account of an application, with the rights that ``migrate grants`` writes.
"""

from collections.abc import AsyncIterator
from inspect import signature

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SqlRepository, StorageBackend
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.pruning import OLD
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import everything
from tests.databases import POOLERS, TARGETS
from tests.pruning import clock_at

OTHER_TENANT = "another tenant"


@pytest.fixture(params=[*TARGETS, *POOLERS])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def role(request: pytest.FixtureRequest, target: str) -> str:
    """The account of the application; the mark ``needs_role`` of a test that needs more names another."""
    if target.startswith("oracle"):  # the double knows no privileges: every user is one role of its PostgreSQL
        return "owner"
    if target in POOLERS:  # the pooler has one account
        return "owner"
    marks = [_needed(*mark.args, **mark.kwargs) for mark in request.node.iter_markers("needs_role")]
    return marks[0] if marks else "app"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a test fail that makes databases, which it uses as their owner, without a mark that says why."""
    if isinstance(item, pytest.Function) and "databases" in signature(item.function).parameters:
        assert item.get_closest_marker("needs_role"), "it makes databases: add the mark needs_role with the reason"


def _needed(role: str, *, reason: str) -> str:
    assert reason, f"say why the test needs the role {role}"
    return role


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
