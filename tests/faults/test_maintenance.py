"""Prune and erase runs under faults: exactly the rows that should stay are left."""

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from axon_storage import (
    EventRow,
    SessionRow,
    StorageBackend,
    StorageError,
    TraceRow,
    open_storage,
)
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.testing.pruning import DAY, NOW, PRUNE, key_fields, prune
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import load
from tests.faults.proxy import storage_through_proxy, storm
from tests.pruning import clock_at

CHECKOUT = Path(__file__).parents[2]
FULL = "AXON_FAULTS" in os.environ
ROWS = 2_000 if FULL else 400
SMALL = {"oracle-double-23ai": 60}
"""The Oracle double takes a hundred times as long to connect."""
KEPT = 50
PRUNED = (EventRow, SessionRow, TraceRow)
OLD, BEFORE = NOW - 3 * DAY, NOW - 2 * DAY
SEED = 20_261_126

pytestmark = pytest.mark.timeout(1800 if FULL else 300)


async def _fill(url: str, rows: int) -> None:
    """Store old rows and a few recent ones of each table that the tests prune, and a recent row of another tenant."""
    for moment, numbers in ((OLD, range(rows)), (NOW, range(rows, rows + KEPT))):
        async with open_storage(url, migrate=False, clock=clock_at(moment)) as storage:
            for row_type in PRUNED:
                await storage.save_many(sample(row_type, **key_fields(row_type, number)) for number in numbers)
            await storage.for_tenant("other").save_many(sample(row_type, "other") for row_type in ROW_TYPES)


async def _until_it_ends(storage: StorageBackend, row_type: type[Row]) -> tuple[int, int]:
    """Prune a table, again after each transient error; return the number of runs and of rows that they reported."""
    for runs in range(1, 1000):
        try:
            return runs, await prune(storage, row_type, BEFORE)
        except StorageError as error:
            if not error.transient:
                raise
    raise AssertionError


async def _check(url: str) -> None:
    async with open_storage(url, migrate=False) as storage:
        for row_type in PRUNED:
            assert len(await load(storage, row_type)) == KEPT
            assert len(await load(storage.for_tenant("other"), row_type)) >= 1


async def test_a_prune_under_network_faults_leaves_exactly_the_recent_rows(
    url: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = SMALL.get(target, ROWS)
    await _fill(url, rows)
    monkeypatch.setattr(StorageBackend, "prune_rows", 20)
    done = asyncio.Event()
    async with storage_through_proxy(url, retry_attempts=12, connect_timeout=2) as (proxy, storage):
        dice = random.Random(SEED)  # noqa: S311  # repeatable
        steps = 0
        execute = storage.backend.execute

        async def count(request: object) -> object:
            nonlocal steps
            result: object = await execute(request)  # type: ignore[arg-type]  # any request
            steps += 1
            return result

        monkeypatch.setattr(storage.backend, "execute", count)
        faults = asyncio.create_task(storm(proxy, dice, done, lambda: steps, between=2))
        runs = [await _until_it_ends(storage, row_type) for row_type in PRUNED]
        done.set()
        await faults
        injected = sum(proxy.injected.values())
    print(  # noqa: T201  # shown with -rP
        f"{target}: seed {SEED}, {rows * len(PRUNED)} rows, {injected} faults, {sum(count for count, _ in runs)} runs, "
        f"{sum(deleted for _, deleted in runs)} rows reported by runs that ended"
    )
    assert injected
    assert all(deleted <= rows for _, deleted in runs)
    await _check(url)


async def test_an_erase_under_network_faults_leaves_no_row_of_the_tenant(
    url: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = SMALL.get(target, ROWS)
    await _fill(url, rows)
    monkeypatch.setattr(StorageBackend, "prune_rows", 20)
    done, steps, runs = asyncio.Event(), 0, 0
    async with storage_through_proxy(url, retry_attempts=12, connect_timeout=2) as (proxy, storage):
        execute = storage.backend.execute

        async def count(request: object) -> object:
            nonlocal steps
            result: object = await execute(request)  # type: ignore[arg-type]  # any request
            steps += 1
            return result

        monkeypatch.setattr(storage.backend, "execute", count)
        dice = random.Random(SEED)  # noqa: S311  # repeatable
        faults = asyncio.create_task(storm(proxy, dice, done, lambda: steps, between=2))
        erased = False
        while not erased:
            runs += 1
            try:
                await storage.for_tenant("default").erase_tenant()
                erased = True
            except StorageError as error:
                assert error.transient, error  # noqa: PT017  # the loop goes on
        done.set()
        await faults
        injected = sum(proxy.injected.values())
    print(f"{target}: seed {SEED}, {rows * len(PRUNED)} rows, {injected} faults, {runs} runs")  # noqa: T201  # as above
    assert injected
    async with open_storage(url, migrate=False) as storage:
        assert await storage.tenant_ids() == ["other"]


RUN = """
import asyncio, sys
from datetime import datetime
from axon_storage import StorageBackend, open_storage
StorageBackend.prune_rows = 20
async def main(url, what, before):
    async with open_storage(url, migrate=False) as storage:
        view = storage.for_tenant("default")
        execute = storage.backend.execute
        async def told(request):
            result = await execute(request)
            print(type(request).__name__, flush=True)
            return result
        storage.backend.execute = told
        if what == "erase":
            await view.erase_tenant()
        else:
            await getattr(view, what)(datetime.fromisoformat(before))
asyncio.run(main(*sys.stdin.read().split()))
"""


async def _killed(url: str, what: str, deletes: int) -> None:
    """Run a prune or erase method in a process, and kill it after some transactions."""
    run = subprocess.Popen(  # noqa: ASYNC220  # the test does not wait for it
        [sys.executable, "-c", RUN], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdin is not None
    assert run.stdout is not None
    run.stdin.write(f"{url} {what} {BEFORE.isoformat()}")  # not an argument, because the URL has a password
    run.stdin.close()
    while deletes:
        line = await asyncio.to_thread(run.stdout.readline)
        assert line, "the run ended before it was killed"
        deletes -= line == "DeleteOld\n"
    run.kill()
    await asyncio.to_thread(run.wait)
    run.stdout.close()


@pytest.mark.parametrize("target", ["sqlite", "postgresql", "mariadb", "mysql"])
async def test_the_next_run_completes_the_work_of_a_killed_process(url: str, target: str) -> None:
    await _fill(url, ROWS)
    async with open_storage(url, migrate=False) as storage:
        for row_type in PRUNED:
            await _killed(url, PRUNE[row_type], deletes=5)
        killed = time.monotonic()
        for row_type in PRUNED:
            left = len(await load(storage, row_type))
            assert KEPT < left <= ROWS + KEPT - 5 * 20
            assert await prune(storage, row_type, BEFORE) == left - KEPT  # it waits for the end of the lease
        waited = time.monotonic() - killed
        await _check(url)
        await _killed(url, "erase", deletes=2)
        assert len(await load(storage, EventRow)) > 0
        await storage.for_tenant("default").erase_tenant()
        assert await storage.tenant_ids() == ["other"]
    print(f"{target}: {ROWS * len(PRUNED)} rows, 4 kills, the next run ended after {waited:.1f} s")  # noqa: T201  # as above
