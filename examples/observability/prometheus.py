"""An agent server whose storage is watched: its tasks write and read, and Prometheus reads the metrics.

``pip install axon-storage opentelemetry-sdk opentelemetry-exporter-prometheus`` and ``python prometheus.py`` run it on
``DATABASE_URL``, or without it on a temporary SQLite file, and print the address of the metrics. ``--trouble`` causes,
on a SQLite file of its own, what ``alerts.yml`` warns of: no free connection, retries, refused rows, late rollbacks.
"""

import argparse
import asyncio
import itertools
import logging
import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import start_http_server
from sqlalchemy import event

from axon_storage import (
    CostRow,
    DaemonRow,
    EventRow,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageError,
    create_engine,
    open_storage,
    schema,
)

log = logging.getLogger(__name__)


# --8<-- [start:metrics]
@contextmanager
def metrics(port: int) -> Iterator[tuple[MeterProvider, str]]:
    """Serve metrics on the loopback interface; yield the provider for the storage, and the address."""
    provider = MeterProvider([PrometheusMetricReader()])
    server, thread = start_http_server(port, addr="127.0.0.1")
    try:
        yield provider, f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        provider.shutdown()


# --8<-- [end:metrics]


async def agent(storage: StorageBackend, number: int, pause: float) -> None:
    """Take turns without end. A turn that fails is logged, and the next one begins."""
    for turn in itertools.count():
        try:
            await take_turn(storage, f"agent-{number}", turn)
        except StorageError as error:
            log.warning("%s", error)
        await asyncio.sleep(random.uniform(0, 2 * pause))  # noqa: S311  # not used for security


async def take_turn(storage: StorageBackend, name: str, turn: int) -> None:
    """Publish an event, remember a fact, record a cost, and read them again."""
    await storage.append_event(_event(name, turn))
    await storage.save_session(_fact(name, turn % 50))
    await storage.record_cost(_cost(name))
    await storage.get_session(name, f"fact-{turn % 50}")
    await storage.query_events(name, 10)
    if turn % 10 == 0:
        async with storage.transaction() as transaction:
            await transaction.append_event(_event(name, turn))
            await transaction.save_session(_fact(name, 50))


async def trouble(file: Path, provider: MeterProvider, late: float) -> None:
    """Cause trouble again and again. An event is late 60 s after it was appended, so ``late`` must be longer."""
    url = f"sqlite:///{file}"
    await schema.upgrade(url)
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    event.listen(engine.sync_engine, "checkout", _without_waiting_for_locks)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("CREATE UNIQUE INDEX one_in_each_state ON daemons (tenant_id, state)")
    try:
        async with SqlRepository(engine, meter_provider=provider) as storage:
            while True:
                await _trouble(storage, other, late)
    finally:
        other.close()
        await engine.dispose()


async def _trouble(storage: SqlRepository, other: sqlite3.Connection, late: float) -> None:
    acme = storage.for_tenant("acme")
    async with storage.transaction():  # holds the only connection
        with suppress(StorageError):
            await acme.get_session("scope", "key")
    for name in ("first", "second"):  # the second is refused
        with suppress(StorageError):
            await acme.save_daemon(_daemon(name))
    other.execute("BEGIN IMMEDIATE")  # locks the file, so that a save is tried again
    async with asyncio.TaskGroup() as group:
        group.create_task(acme.save_session(_fact("scope", 0)))
        await asyncio.sleep(0.1)
        other.execute("ROLLBACK")
    with suppress(StorageError):
        async with storage.transaction() as transaction:
            await transaction.for_tenant("acme").append_event(_event("late", 0))
            await asyncio.sleep(late)


def _without_waiting_for_locks(connection: Any, *_: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 0")
    cursor.close()


async def serve(url: str, folder: Path, options: argparse.Namespace) -> None:
    """Run the agents, and answer Prometheus, for ``options.seconds``."""
    with metrics(options.port) as (provider, address):
        async with open_storage(url, migrate=True, meter_provider=provider) as storage:
            print(address, flush=True)  # noqa: T201  # for the user
            acme = storage.for_tenant("acme")
            work = [agent(acme, number, options.pause) for number in range(options.tasks)]
            if options.trouble:
                work.append(trouble(folder / "trouble.db", provider, options.late))
            with suppress(TimeoutError):
                async with asyncio.timeout(options.seconds), asyncio.TaskGroup() as group:
                    for each in work:
                        group.create_task(each)


def _allow_one_daemon_in_each_state(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE UNIQUE INDEX one_in_each_state ON daemons (tenant_id, state)")
    connection.close()


def _event(topic: str, turn: int) -> EventRow:
    return EventRow(tenant_id="acme", topic=topic, source="example", payload={"turn": turn, "text": "a short message"})


def _fact(scope: str, number: int) -> SessionRow:
    return SessionRow(tenant_id="acme", scope=scope, key=f"fact-{number}", value="learned " * 20, source_step="ask")


def _cost(flow: str) -> CostRow:
    return CostRow(
        tenant_id="acme", flow_name=flow, backend="example", input_tokens=900, output_tokens=80, cost_usd=0.0031
    )


def _daemon(name: str) -> DaemonRow:
    return DaemonRow(
        tenant_id="acme",
        name=name,
        state="running",
        source_file="",
        flow_name="",
        event_count=0,
        restart_count=0,
        trigger_topic=None,
        output_topic=None,
        lifecycle_events=[],
    )


def main() -> None:
    """Read the command line, and serve until the time is over or Ctrl-C is pressed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9464, help="of the metrics; 0: a free one (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=16, help="agents at work (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between an agent's turns, on average")
    parser.add_argument("--seconds", type=float, help="end after this time")
    parser.add_argument("--trouble", action="store_true", help="cause what the alerts warn of")
    parser.add_argument("--late", type=float, default=61.0, help="seconds after which the late event is committed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, suppress(KeyboardInterrupt):
        url = os.environ.get("DATABASE_URL") or f"sqlite:///{name}/agents.db"
        asyncio.run(serve(url, Path(name), options))


if __name__ == "__main__":
    main()
