"""The servers under fault: each once, since a fault is the network's or the server's, not the driver's."""

import pytest

from tests.databases import Databases

NETWORKED = ["postgresql", "mariadb", "mysql", "mariadb-asyncmy", "oracle-double-23ai"]


@pytest.fixture(params=NETWORKED)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def url(databases: Databases, target: str) -> str:
    return (await databases.ready(target))[0]
