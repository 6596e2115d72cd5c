"""Under faults of the network nothing acknowledged is lost, and nothing is stored twice.

``make faults`` runs the full load; a smaller one is part of ``make test``.
"""

import asyncio
import os
import random
import time

import pytest
from sqlalchemy.engine import make_url

from axon_storage import open_storage
from tests.faults.proxy import Proxy, storm
from tests.faults.workload import Ledger, audit, run

FULL = "AXON_FAULTS" in os.environ
SMALL = {"oracle-double-23ai": 100}
"""The Oracle double takes a hundred times as long for a connection."""
TASKS = 16
FAULTS = 20
"""The load goes on until as many have been met, however fast the machine is."""
SEED = 20_261_125

pytestmark = pytest.mark.timeout(1800 if FULL else 300)


async def test_under_random_faults_nothing_is_lost_and_nothing_doubled(url: str, target: str) -> None:
    operations = 5_000 if FULL else SMALL.get(target, 600)
    proxy, ledger, done = Proxy(make_url(url).port or 0), Ledger(), asyncio.Event()
    async with proxy.running() as port:
        through = make_url(url).set(port=port).render_as_string(hide_password=False)
        async with open_storage(through, migrate=False, retry_attempts=12, connect_timeout=2) as storage:
            weather = asyncio.create_task(storm(proxy, random.Random(SEED), done))  # noqa: S311  # repeatable
            started = time.monotonic()
            rounds = 0
            while rounds == 0 or sum(proxy.injected.values()) < FAULTS:
                await run(storage, ledger, tasks=TASKS, operations=operations, seed=SEED + 1000 * rounds)
                rounds += 1
            took = time.monotonic() - started
            done.set()
            await weather
    async with open_storage(url, migrate=False) as storage:
        lost, doubled = await audit(storage, ledger)
    print(  # noqa: T201  # told with -rP
        f"{target}: seed {SEED}, {rounds * operations} operations, {sum(proxy.injected.values())} faults, "
        f"{dict(proxy.injected)}, {dict(ledger.outcomes)}, lost {lost}, doubled {doubled}, "
        f"{took:.0f} s, worst recovery {ledger.longest_silence:.1f} s"
    )
    assert (lost, doubled) == (0, 0), ledger.problems
    assert ledger.problems == []
    assert ledger.outcomes["acknowledged"] > operations / 2
