"""Everything that speaks Oracle's protocol in this run."""

import pytest

from tests.servers import ORACLES


@pytest.fixture(params=ORACLES)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)
