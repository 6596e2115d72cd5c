"""A PostgreSQL primary is killed under load, and its synchronous standby is promoted: nothing is lost."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from axon_storage import StorageBackend, open_storage, schema
from tests.databases import skip_without
from tests.faults.workload import TENANTS, Ledger, audit, run
from tests.servers import packages
from tests.servers.replication import Pair

FULL = "AXON_FAULTS" in os.environ
ROUNDS, OPERATIONS = (6, 6_000) if FULL else (1, 1_000)
WRITERS = 16

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("promotion")]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    programs = packages.postgresql()
    if programs is None:
        skip_without("postgresql", "its programs are not on this machine, and `make servers` could not get them")
    directory = Path(tempfile.mkdtemp(prefix="axon-promotion-"))
    directory.chmod(0o711)
    try:
        running = Pair(directory, programs)
        yield running
        running.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
async def url(pair: Pair) -> str:
    await schema.upgrade(pair.url())
    return pair.url()


async def fail_over(pair: Pair, storage: StorageBackend, seed: int) -> tuple[Ledger, float]:
    """Kill the primary while writers are at work, and promote the standby; return the seconds until a call succeeds."""
    ledger = Ledger()
    load = asyncio.create_task(run(storage, ledger, tasks=WRITERS, operations=OPERATIONS, seed=seed))
    while ledger.outcomes["acknowledged"] < OPERATIONS // 3:  # noqa: ASYNC110  # counts
        await asyncio.sleep(0.001)
    assert not load.done()
    await asyncio.to_thread(pair.kill_primary)
    killed, before = time.monotonic(), ledger.outcomes["acknowledged"]
    await asyncio.to_thread(pair.promote)
    while ledger.outcomes["acknowledged"] == before and not load.done():  # noqa: ASYNC110  # counts
        await asyncio.sleep(0.001)
    recovery = time.monotonic() - killed
    await load
    return ledger, recovery


async def test_after_the_standby_is_promoted_nothing_acknowledged_is_lost_or_doubled(pair: Pair, url: str) -> None:
    async with open_storage(url) as storage:
        for turn in range(ROUNDS):
            ledger, recovery = await fail_over(pair, storage, turn)
            lost, doubled = await audit(storage, ledger)
            print(  # noqa: T201  # shown with -rP
                f"round {turn + 1}: {sum(ledger.outcomes.values())} operations, {dict(ledger.outcomes)}, lost {lost}, "
                f"doubled {doubled}, recovered after {recovery:.2f} s"
            )
            assert (lost, doubled) == (0, 0), ledger.problems
            assert ledger.problems == []
            if turn + 1 < ROUNDS:
                await asyncio.to_thread(pair.bring_back)
                for tenant in TENANTS:
                    await storage.for_tenant(tenant).erase_tenant()
