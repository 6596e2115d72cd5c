"""Clusters in which every node accepts writes: a call that conflicts with another node's write is retried."""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine, ExceptionContext, make_url

from axon_storage import (
    EventRow,
    SessionRow,
    StorageBackend,
    StorageConnectionError,
    StorageError,
    TraceRow,
    new_id,
    open_storage,
)
from axon_storage.dialects.mysql import MySQL
from axon_storage.testing.samples import sample
from tests.databases import skip_without
from tests.faults.private import with_hosts
from tests.faults.workload import Ledger, audit, run
from tests.servers import galera, group_replication, packages
from tests.servers.clusters import SIZE, Cluster, Kind

FULL = "AXON_FAULTS" in os.environ
OPERATIONS = 5_000 if FULL else 600
ROUNDS = 60 if FULL else 10
TASKS = 8
"""The number of tasks on each node."""
HOT = 5
"""The number of keys that the tasks of all nodes save."""

CODES = {"galera": {"1213"}, "group-replication": {"1180", "1213", "3101"}}
"""The errors of a transaction that conflicts with another node's; 1180 and 1213 if that shows before its COMMIT."""
OUT_OF_SERVICE = {"galera": "[1047]", "group-replication": "[1290]"}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", params=["galera", "group-replication"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def cluster(target: str) -> Iterator[Cluster]:
    directory = Path(tempfile.mkdtemp(prefix=f"axon-{target}-"))
    try:
        running = Cluster(_kind(target, directory), directory)
        yield running
        running.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _kind(target: str, directory: Path) -> Kind:
    if target == "galera":
        programs, library = packages.mariadb(), packages.galera()
        if programs is not None and library is not None:
            return galera.kind(programs, library, directory)
    elif (root := packages.group_replication()) is not None:
        return group_replication.kind(root)
    return skip_without(target, "its programs are not on this machine, and `make servers` could not get them")


@pytest.fixture
def error_codes() -> Iterator[Counter[str]]:
    """The codes of all errors that the servers have reported."""
    codes: Counter[str] = Counter()

    def note(context: ExceptionContext) -> None:
        codes[str(context.original_exception.args[0])] += 1

    event.listen(Engine, "handle_error", note)
    yield codes
    event.remove(Engine, "handle_error", note)


@asynccontextmanager
async def opened(cluster: Cluster) -> AsyncIterator[list[StorageBackend]]:
    """Create an empty schema on one node, and open a storage on each."""
    cluster.ask(cluster.nodes[0], "DROP DATABASE axon; CREATE DATABASE axon")
    async with AsyncExitStack() as stack:
        storages: list[StorageBackend] = []
        for node in cluster.nodes:
            storage = open_storage(node.url, migrate=not storages, retry_attempts=40)
            storages.append(await stack.enter_async_context(storage))
            cluster.catch_up()
        yield storages


async def test_a_transaction_that_conflicts_with_another_nodes_write_is_a_transient_error(
    cluster: Cluster, target: str
) -> None:
    codes: Counter[str] = Counter()
    async with opened(cluster) as (loser, winner, _):
        for turn in range(ROUNDS):
            with pytest.raises(StorageError) as caught:
                await _lose(loser, winner, turn)
            assert caught.value.transient, caught.value
            codes[str(caught.value).partition("[")[2].partition("]")[0]] += 1
            assert await _status(winner) == f"winner's {turn}"
            assert await loser.load_sessions("name") == []
        async with loser.transaction() as transaction:  # made again, as the error allows
            await transaction.save_trace(sample(TraceRow, status="loser's"))
        assert await _status(loser) == "loser's"
    print(f"{target}: {ROUNDS} transactions with conflicts, codes {dict(codes)}")  # noqa: T201  # shown with -rP
    assert set(codes) <= CODES[target]


async def _lose(loser: StorageBackend, winner: StorageBackend, turn: int) -> None:
    """Make a transaction that conflicts with a write of another node.

    Depending on ``turn`` that write has reached this node or not, and the conflict shows in a statement or the COMMIT.
    """
    async with loser.transaction() as transaction:
        await transaction.save_trace(sample(TraceRow, status="loser's"))
        await winner.save_trace(sample(TraceRow, status=f"winner's {turn}"))
        while turn % 2 and await _status(loser) != f"winner's {turn}":  # noqa: ASYNC110  # the other server cannot notify this task
            await asyncio.sleep(0.01)
        if turn % 3:
            await transaction.save_session(sample(SessionRow))


async def _status(storage: StorageBackend) -> str:
    trace = await storage.get_trace(7)
    return trace.status if trace else ""


async def test_of_the_creates_of_one_key_on_all_nodes_one_returns_true(
    cluster: Cluster, error_codes: Counter[str]
) -> None:
    async with opened(cluster) as storages:
        for turn in range(ROUNDS):
            rows = [sample(SessionRow, key=f"{turn}", value=f"{number}") for number in range(SIZE * TASKS)]
            calls = [storages[number % SIZE].create(row) for number, row in enumerate(rows)]
            [stored] = [row for row, created in zip(rows, await asyncio.gather(*calls), strict=True) if created]
            for storage in storages:
                cluster.catch_up()
                assert await storage.get_session("name", f"{turn}") == stored
        print(f"codes {dict(error_codes)}")  # noqa: T201  # shown with -rP


async def test_calls_that_change_the_same_rows_on_all_nodes_all_succeed(
    cluster: Cluster, target: str, error_codes: Counter[str]
) -> None:
    appended: list[str] = []

    async def save(storage: StorageBackend, node: int, task: int) -> None:
        for turn in range(ROUNDS):
            value, row_id = f"{node} {task} {turn}", new_id()
            await storage.save_trace(sample(TraceRow, trace_id=task % HOT, status=value))
            await storage.save_session(sample(SessionRow, scope="hot", key=str(task % HOT), value=value))
            await storage.append_event(sample(EventRow, source=str(row_id)), id=row_id)
            appended.append(str(row_id))

    async with opened(cluster) as storages:
        error_codes.clear()
        tasks = [(storage, node, task) for node, storage in enumerate(storages) for task in range(TASKS)]
        await asyncio.gather(*(save(*task) for task in tasks))
        cluster.catch_up()
        traces, sessions, events = zip(*[await _held(storage) for storage in storages], strict=True)
    stored = events[0]
    lost = len(set(appended) - set(stored))
    duplicated = stored.total() - len(stored)
    operations = 3 * len(appended)
    print(  # noqa: T201  # shown with -rP
        f"{target}: {operations} operations on {HOT} rows, faults {dict(error_codes)}, {operations} acknowledged, "
        f"lost {lost}, duplicated {duplicated}"
    )
    assert (lost, duplicated, len(stored)) == (0, 0, len(appended))
    assert events == (stored,) * SIZE
    for held in (traces, sessions):
        assert held == (held[0],) * SIZE
        for key, value in held[0].items():
            _, task, turn = map(int, value.split())
            assert (task % HOT, turn) == (key, ROUNDS - 1)  # the last save of one of the tasks that saved it
    assert error_codes
    assert set(error_codes) <= MySQL.transient_codes.keys()


async def _held(storage: StorageBackend) -> tuple[dict[int, str], dict[int, str], Counter[str]]:
    traces = {trace.trace_id: trace.status for trace in await storage.load_traces(10**6)}
    sessions = {int(entry.key): entry.value for entry in await storage.load_sessions("hot")}
    return traces, sessions, Counter(row.source for row in await storage.query_events(None, 10**6))


async def test_after_a_node_is_killed_under_load_the_others_go_on_and_nothing_is_lost(
    cluster: Cluster, target: str, error_codes: Counter[str]
) -> None:
    if target == "group-replication" and not FULL:
        pytest.skip("part of the full load: until the dead node is expelled, commits may wait for 45 s")
    ledger, victim = Ledger(), cluster.nodes[-1]
    async with opened(cluster) as storages, open_storage(victim.url, migrate=False, retry_attempts=1) as doomed:
        error_codes.clear()
        load = asyncio.gather(
            *(
                run(storage, ledger, tasks=TASKS, operations=OPERATIONS // SIZE, seed=9, first=number * TASKS)
                for number, storage in enumerate([*storages[:-1], doomed])
            )
        )
        while ledger.outcomes["acknowledged"] < OPERATIONS // 3:  # noqa: ASYNC110  # counts
            await asyncio.sleep(0.001)
        cluster.kill(victim)
        await load
        await asyncio.to_thread(cluster.bring_back, victim)
        cluster.catch_up()
        audits = [await audit(storage, ledger) for storage in storages]
    lost, duplicated = map(sum, zip(*audits, strict=True))
    print(  # noqa: T201  # shown with -rP
        f"{target}: {OPERATIONS} operations, 1 node killed, faults {dict(error_codes)}, {dict(ledger.outcomes)}, "
        f"lost {lost}, duplicated {duplicated}"
    )
    assert (lost, duplicated) == (0, 0), ledger.problems
    assert ledger.problems == []
    assert ledger.outcomes["acknowledged"] >= OPERATIONS * 2 // 3
    assert set(error_codes) <= MySQL.transient_codes.keys()


def url_of_all(cluster: Cluster) -> str:
    """Return a URL with all nodes; the first is the last one, because the seed of a cluster cannot come back."""
    nodes = cluster.nodes[::-1]
    return with_hosts(nodes[0].url, *(f"127.0.0.1:{make_url(node.url).port}" for node in nodes))


@pytest.mark.skipif(not FULL, reason="part of the full load: a node takes 40 s to leave and to come back")
async def test_with_all_nodes_in_the_url_a_node_out_of_service_is_passed_over(cluster: Cluster) -> None:
    first = cluster.nodes[-1]
    async with opened(cluster), open_storage(url_of_all(cluster), migrate=False) as storage:
        await storage.save_trace(sample(TraceRow))
        cluster.leave(first)
        try:
            await storage.save_trace(sample(TraceRow, status="second"))
            assert await _status(storage) == "second"
            async with open_storage(url_of_all(cluster), migrate=False, retry_attempts=1) as new:
                assert await _status(new) == "second"
                await new.save_trace(sample(TraceRow, status="third"))
        finally:
            await asyncio.to_thread(cluster.join, first)


@pytest.mark.skipif(not FULL, reason="part of the full load: a killed node takes long to come back")
async def test_with_all_nodes_in_the_url_the_death_of_a_node_costs_no_acknowledged_write(
    cluster: Cluster, target: str
) -> None:
    ledger, victim = Ledger(), cluster.nodes[-1]
    url = url_of_all(cluster)
    async with (
        opened(cluster),
        open_storage(url, migrate=False, retry_attempts=60, retry_deadline=100.0, operation_timeout=120.0) as storage,
    ):
        load = asyncio.create_task(run(storage, ledger, tasks=16, operations=OPERATIONS, seed=11))
        while ledger.outcomes["acknowledged"] < OPERATIONS // 3:  # noqa: ASYNC110  # counts
            await asyncio.sleep(0.001)
        cluster.kill(victim)
        killed, before = time.monotonic(), ledger.outcomes["acknowledged"]
        while ledger.outcomes["acknowledged"] == before and not load.done():  # noqa: ASYNC110  # counts
            await asyncio.sleep(0.001)
        recovery = time.monotonic() - killed
        await load
        await asyncio.to_thread(cluster.bring_back, victim)
        cluster.catch_up()
        lost, doubled = await audit(storage, ledger)
    print(  # noqa: T201  # shown with -rP
        f"{target}: {sum(ledger.outcomes.values())} operations, {dict(ledger.outcomes)}, lost {lost}, "
        f"doubled {doubled}, recovered after {recovery:.2f} s"
    )
    assert (lost, doubled) == (0, 0), ledger.problems
    assert ledger.problems == []


@pytest.mark.skipif(not FULL, reason="part of the full load: a node takes 40 s to leave and to come back")
async def test_a_node_out_of_service_is_a_transient_error_until_it_is_back(cluster: Cluster, target: str) -> None:
    async with opened(cluster) as storages:
        await storages[-1].save_trace(sample(TraceRow))
        cluster.leave(cluster.nodes[-1])
        error = await _refusal(storages[-1])
        again = asyncio.create_task(storages[-1].save_trace(sample(TraceRow)))
        await asyncio.to_thread(cluster.join, cluster.nodes[-1])
        await again
    print(f"{target}: out of service, error {error}")  # noqa: T201  # shown with -rP
    assert OUT_OF_SERVICE[target] in str(error)
    assert error.transient


@pytest.mark.skipif(not FULL, reason="part of the full load: clusters take many seconds to notice")
async def test_a_node_that_lost_the_majority_is_a_transient_error_until_it_is_back(
    cluster: Cluster, target: str, error_codes: Counter[str]
) -> None:
    lonely, *others = cluster.nodes
    async with opened(cluster) as (storage, *_):
        error_codes.clear()
        cluster.signal(signal.SIGSTOP, *others)
        try:
            while OUT_OF_SERVICE[target] not in str(await _refusal(storage)):
                pass
        finally:
            cluster.signal(signal.SIGCONT, *others)
        await asyncio.to_thread(cluster.join, lonely)
        await storage.save_trace(sample(TraceRow))
    print(f"{target}: without majority, codes {dict(error_codes)}")  # noqa: T201  # shown with -rP
    assert set(error_codes) <= MySQL.transient_codes.keys()


async def _refusal(storage: StorageBackend) -> StorageConnectionError:
    """Write until a node refuses it, and return the error."""
    while True:
        try:
            async with storage.transaction() as transaction:
                await transaction.save_trace(sample(TraceRow))
        except StorageError as error:
            if isinstance(error, StorageConnectionError):
                return error
