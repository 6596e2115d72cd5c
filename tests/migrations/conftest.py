"""Runs each test on every server, with one driver, since migrations do not depend on the driver."""

import pytest

from tests.databases import SERVERS, Databases


@pytest.fixture(params=SERVERS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def url(databases: Databases, target: str) -> str:
    """A database without a schema."""
    return await databases.empty(target)
