"""Oracle tests run on every server of this run that speaks Oracle's protocol."""

import pytest

from tests.servers import ORACLES


@pytest.fixture(params=ORACLES)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)
