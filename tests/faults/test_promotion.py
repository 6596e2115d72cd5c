"""A PostgreSQL primary is killed under load, and its synchronous standby is promoted: nothing is lost."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from axon_storage import StorageBackend, open_storage, schema
from tests.databases import skip_without
from tests.faults.workload import TENANTS, Ledger, audit, run
from tests.servers import haproxy, packages, pgbouncer
from tests.servers.replication import Pair

ROUNDS, OPERATIONS, WRITERS = 4, 3_000, 16

pytestmark = [
    pytest.mark.skipif("AXON_FAULTS" not in os.environ, reason="part of the full load: two servers take long to start"),
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("promotion"),
]


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


@dataclass
class Way:
    """How a storage finds the new primary. ``follow``: what an administrator does after the promotion."""

    url: str
    follow: Callable[[], None]


def _hosts(pair: Pair, _directory: Path, _stack: ExitStack) -> Way:
    return Way(pair.url(), lambda: None)


def _haproxy(pair: Pair, directory: Path, stack: ExitStack) -> Way:
    if (root := packages.haproxy()) is None:
        skip_without("haproxy", "it is not on this machine, and `make servers` could not get it")
    checks = {host: stack.enter_context(primary_check(pair, host)) for host in pair.hosts}
    process, host = haproxy.start(directory, root, checks)
    stack.callback(process.stop)
    return Way(pair.url(host) + "&target_session_attrs=read-write", lambda: None)


def _pgbouncer(pair: Pair, directory: Path, stack: ExitStack) -> Way:
    if (root := packages.pgbouncer("new")) is None:
        skip_without("pgbouncer", "the new one is not on this machine, and `make servers` could not get it")
    process, url = pgbouncer.start(
        directory, root, pair.primary.url.render_as_string(hide_password=False), pool_size=10, more_settings=QUICK
    )
    stack.callback(process.stop)
    return Way(url, lambda: pgbouncer.lead_to(directory, process, pair.primary.url.port or 0))


WAYS = {"hosts": _hosts, "haproxy": _haproxy, "pgbouncer": _pgbouncer}
QUICK = "server_login_retry = 0.2\n"  # the default is 15 s


@contextmanager
def primary_check(pair: Pair, host: str) -> Iterator[int]:
    """Answer whether a server is the primary, as the agent of a cluster manager does; yield the port."""

    class Check(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that the base class calls
            primary = pair.primary
            alive = primary.process.popen.poll() is None
            self.send_response(200 if alive and host.endswith(f":{primary.url.port}") else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Check) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(scope="module")
async def migrated(pair: Pair) -> None:
    await schema.upgrade(pair.url())


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, pair: Pair, migrated: None) -> Iterator[Way]:
    del migrated
    directory = Path(tempfile.mkdtemp(prefix="axon-way-"))
    directory.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        yield WAYS[request.param](pair, directory, stack)


async def fail_over(pair: Pair, way: Way, storage: StorageBackend, seed: int) -> tuple[Ledger, float]:
    """Kill the primary while writers are at work, and promote the standby; return the seconds until a call succeeds."""
    ledger = Ledger()
    load = asyncio.create_task(run(storage, ledger, tasks=WRITERS, operations=OPERATIONS, seed=seed))
    while ledger.outcomes["acknowledged"] < OPERATIONS // 3:  # noqa: ASYNC110  # counts
        await asyncio.sleep(0.001)
    assert not load.done()
    await asyncio.to_thread(pair.kill_primary)
    killed, before = time.monotonic(), ledger.outcomes["acknowledged"]
    await asyncio.to_thread(pair.promote)
    way.follow()
    while ledger.outcomes["acknowledged"] == before and not load.done():  # noqa: ASYNC110  # counts
        await asyncio.sleep(0.001)
    recovery = time.monotonic() - killed
    await load
    return ledger, recovery


async def test_after_the_standby_is_promoted_nothing_acknowledged_is_lost_or_doubled(pair: Pair, way: Way) -> None:
    async with open_storage(way.url, retry_attempts=30) as storage:
        for turn in range(ROUNDS):
            await asyncio.to_thread(pair.bring_back)
            for tenant in TENANTS:
                await storage.for_tenant(tenant).erase_tenant()
            ledger, recovery = await fail_over(pair, way, storage, turn)
            lost, doubled = await audit(storage, ledger)
            print(  # noqa: T201  # shown with -rP
                f"round {turn + 1}: {sum(ledger.outcomes.values())} operations, {dict(ledger.outcomes)}, lost {lost}, "
                f"doubled {doubled}, recovered after {recovery:.2f} s"
            )
            assert (lost, doubled) == (0, 0), ledger.problems
            assert ledger.problems == []
