"""Under network faults no acknowledged row is lost, and none is stored twice.

``make faults`` runs the full load; ``make test`` runs a smaller one.
"""

import asyncio
import os
import random
import time

import pytest

from axon_storage import open_storage
from tests.faults.proxy import storage_through_proxy, storm
from tests.faults.workload import Ledger, audit, run

FULL = "AXON_FAULTS" in os.environ
SMALL = {"oracle-double-23ai": 100}
"""The Oracle double takes a hundred times as long to connect."""
TASKS = 16
FAULTS = 20
"""The load is repeated until this many faults have been injected, so that a fast machine meets them too."""
SEED = 20_261_125

pytestmark = pytest.mark.timeout(1800 if FULL else 300)


async def test_under_random_faults_no_row_is_lost_or_duplicated(url: str, target: str) -> None:
    operations = 5_000 if FULL else SMALL.get(target, 600)
    ledger, done = Ledger(), asyncio.Event()
    async with storage_through_proxy(url, retry_attempts=12, connect_timeout=2) as (proxy, storage):
        dice = random.Random(SEED)  # noqa: S311  # repeatable
        faults = asyncio.create_task(storm(proxy, dice, done, lambda: ledger.outcomes["acknowledged"]))
        started = time.monotonic()
        rounds = 0
        while rounds == 0 or sum(proxy.injected.values()) < FAULTS:
            await run(storage, ledger, tasks=TASKS, operations=operations, seed=SEED + 1000 * rounds)
            rounds += 1
        took = time.monotonic() - started
        done.set()
        await faults
    async with open_storage(url, migrate=False) as storage:
        lost, duplicated = await audit(storage, ledger)
    print(  # noqa: T201  # shown with -rP
        f"{target}: seed {SEED}, {rounds * operations} operations, {sum(proxy.injected.values())} faults, "
        f"{dict(proxy.injected)}, {dict(ledger.outcomes)}, lost {lost}, duplicated {duplicated}, "
        f"{took:.0f} s, worst recovery {ledger.longest_silence:.1f} s"
    )
    assert (lost, duplicated) == (0, 0), ledger.problems
    assert ledger.problems == []
    assert ledger.outcomes["acknowledged"] > operations / 2
