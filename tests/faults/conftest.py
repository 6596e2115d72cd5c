"""The servers that the fault tests run on, most with one driver: faults come from networks and servers."""

import pytest

NETWORKED = ["postgresql", "mariadb", "mysql", "mariadb-asyncmy", "oracle-double-23ai"]


@pytest.fixture(params=NETWORKED)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)
