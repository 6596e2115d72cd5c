"""A server or a process is killed under load: no acknowledged row is lost."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import pytest

from axon_storage import StorageConnectionError, TraceRow, open_storage
from axon_storage.testing.samples import sample
from tests.faults.private import KINDS, server
from tests.faults.workload import Ledger, audit, run

CHECKOUT = Path(__file__).parents[2]
FULL = "AXON_FAULTS" in os.environ
OPERATIONS = 5_000 if FULL else 1_000
DEATHS = 4 if FULL else 1
TASKS = 16

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGQUIT], ids=["killed", "immediate shutdown"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_dies_under_load_loses_nothing_acknowledged(kind: str, how: signal.Signals) -> None:
    if how is signal.SIGQUIT and kind != "postgresql":
        pytest.skip("only PostgreSQL has an immediate shutdown")
    ledger, recovery = Ledger(), 0.0
    with server(kind) as (process, url):
        async with open_storage(
            url, migrate=True, retry_attempts=40, retry_deadline=60, operation_timeout=90
        ) as storage:
            load = asyncio.create_task(run(storage, ledger, tasks=TASKS, operations=OPERATIONS, seed=7))
            for death in range(DEATHS):
                share = (death + 1) * OPERATIONS / (DEATHS + 1)
                while ledger.outcomes["acknowledged"] < share:  # noqa: ASYNC110  # counts
                    await asyncio.sleep(0.001)
                process.popen.send_signal(how)
                died = time.monotonic()
                await asyncio.to_thread(process.restart)
                before = ledger.outcomes["acknowledged"]
                while ledger.outcomes["acknowledged"] < before + TASKS and not load.done():  # noqa: ASYNC110  # counts
                    await asyncio.sleep(0.01)
                recovery = max(recovery, time.monotonic() - died)
            await load
            lost, duplicated = await audit(storage, ledger)
    print(  # noqa: T201  # shown with -rP
        f"{kind} {how.name}: {OPERATIONS} operations, {DEATHS} deaths, {dict(ledger.outcomes)}, lost {lost}, "
        f"duplicated {duplicated}, worst recovery {recovery:.1f} s"
    )
    assert (lost, duplicated) == (0, 0), ledger.problems
    assert ledger.outcomes["acknowledged"] > OPERATIONS / 2


async def test_sessions_that_an_administrator_ends_are_replaced() -> None:
    ledger, done = Ledger(), asyncio.Event()
    with server("postgresql") as (_, url):
        async with open_storage(url, migrate=True, retry_attempts=20) as storage:
            administrator = await asyncpg.connect(url)

            async def end_sessions() -> None:
                while not done.is_set():
                    await asyncio.sleep(0.1)
                    await administrator.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                    )

            ending = asyncio.create_task(end_sessions())
            await run(storage, ledger, tasks=16, operations=OPERATIONS, seed=8)
            done.set()
            await ending
            await administrator.close()
            assert await audit(storage, ledger) == (0, 0), ledger.problems


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_without_a_free_connection_is_a_transient_error(kind: str) -> None:
    few = {"postgresql": "max_connections = 8\nsuperuser_reserved_connections = 0\n"}.get(kind, "max-connections = 8\n")
    with server(kind, few) as (_, url):
        async with open_storage(url, migrate=True, pool_size=16, retry_attempts=1) as storage:
            transactions = [storage.transaction() for _ in range(16)]  # MariaDB has at least ten connections
            entered = await asyncio.gather(
                *(transaction.__aenter__() for transaction in transactions), return_exceptions=True
            )
            for transaction, target in zip(transactions, entered, strict=True):
                if not isinstance(target, BaseException):
                    await transaction.__aexit__(None, None, None)
            refused = [error for error in entered if isinstance(error, BaseException)]
            assert refused
            assert all(isinstance(error, StorageConnectionError) and error.transient for error in refused)
            await storage.save_trace(sample(TraceRow))  # connections are free again


@pytest.mark.parametrize("scheme", ["sqlite"])
async def test_the_acknowledged_rows_of_a_killed_process_are_stored(scheme: str, tmp_path: Path) -> None:
    url = f"{scheme}:///{tmp_path}/agents.db"
    writer = (
        "import asyncio, sys\n"
        "from axon_storage import TraceRow, open_storage\n"
        "from axon_storage.testing.samples import sample\n"
        "async def main(first):\n"
        "    async with open_storage(sys.argv[1]) as storage:\n"
        "        for number in range(first, first + 100_000):\n"
        "            await storage.save_trace(sample(TraceRow, trace_id=number))\n"
        "            print(number, flush=True)\n"
        "asyncio.run(main(int(sys.argv[2])))\n"
    )
    async with open_storage(url):
        pass
    writers = [
        subprocess.Popen([sys.executable, "-c", writer, url, str(first)], cwd=CHECKOUT, stdout=subprocess.PIPE)  # noqa: ASYNC220  # the test does not wait for it
        for first in range(0, 400_000, 100_000)
    ]
    # wait for their first lines, because on a busy machine they may start late
    first_lines = [await asyncio.to_thread(process.stdout.readline) for process in writers if process.stdout]
    await asyncio.sleep(1)
    acknowledged = {int(line) for line in first_lines}
    for process in writers:
        process.send_signal(signal.SIGKILL)
        output = (await asyncio.to_thread(process.communicate))[0]
        acknowledged.update(int(line) for line in output.splitlines(keepends=True) if line.endswith(b"\n"))
    async with open_storage(url) as storage:
        stored = {trace.trace_id for trace in await storage.load_traces(10**6)}
    assert len(acknowledged) > 10
    assert acknowledged <= stored
    assert len(stored - acknowledged) <= len(writers)  # each may have died between its commit and its output
