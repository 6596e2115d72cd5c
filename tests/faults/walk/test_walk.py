"""A random walk through the public methods breaks none of the promises that ``docs/durability.md`` makes.

``make test`` walks for a few seconds on each database, ``make faults`` for ``AXON_WALK_SECONDS``, by default a minute.
``AXON_WALK_SEED`` is the seed of the first run. A run that breaks a promise is reduced, and printed as a line for
``python -m tests.faults.walk --replay``.
"""

import os
import time
from itertools import count

import pytest

from tests.databases import Databases
from tests.faults.walk.report import Report
from tests.faults.walk.runs import make_walk, prepare

FULL = "AXON_FAULTS" in os.environ
SECONDS = float(os.environ.get("AXON_WALK_SECONDS", "60")) if FULL else 3.0
SEED = int(os.environ.get("AXON_WALK_SEED", "20261300"))
"""By default a seed whose first two walks have group commit, transactions, cancelled and timed-out calls."""
CALLS = 200

pytestmark = pytest.mark.timeout(SECONDS + 900)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "mysql"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_random_walk_breaks_no_promise(databases: Databases, target: str, processes: int) -> None:
    url = await databases.empty(target)
    await prepare(url)
    report, end = Report(target), time.monotonic() + SECONDS
    for seed in count(SEED):
        await report.run(url, make_walk(seed, CALLS, processes))
        if report.failures or time.monotonic() > end:
            break
    print(report.summary())  # noqa: T201  # shown with -rP
    assert report.failures == []
