"""``axon-storage bench``: a short measurement of a database, in a tenant of its own that is deleted afterwards."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import uuid4

import typer

from axon_storage.backend import StorageBackend
from axon_storage.cli.options import Json, Url, existing_tenants, opened, require_writable
from axon_storage.cli.progress import Bar, bar
from axon_storage.cli.terminal import fail, note, quoted, run, show, show_json, show_table
from axon_storage.model.rows import EventRow, SessionRow

Seconds = Annotated[float, typer.Option(min=0.1, max=60.0, help="Seconds of each measurement.")]
Tasks = Annotated[int, typer.Option(min=1, max=1000, help="Concurrent tasks of the concurrent measurements.")]

_TEXT = "x" * 200
_KEYS = 1000

Call = Callable[[int], Awaitable[object]]


def bench(url: Url, *, seconds: Seconds = 2.0, tasks: Tasks = 64, as_json: Json = False) -> None:
    """Measure the speed of a database.

    Appends, saves and reads are measured, alone and from concurrent tasks. Each call is committed before it is
    counted. The rows belong to a new tenant, and are deleted at the end. Other load on the database changes the
    results, and the measurement slows other users down.
    """
    require_writable(url)
    tenant = f"axon_storage bench {uuid4()}"
    with bar() as progress:
        found, left = run(_bench(url, tenant, seconds, tasks, progress), effect="the rows were deleted")
    if as_json:
        show_json({"tenant": tenant, "seconds": seconds, "measurements": found})
    else:
        show(f"{seconds:g} s for each line; an event or a session of {len(_TEXT)} characters in each call")
        show_table(["calls", "tasks", "calls/s", "p50 ms", "p95 ms", "p99 ms"], map(_cells, found))
    if left:
        fail(f"rows of tenant {quoted(tenant)} are left")
    note("the rows were deleted")


async def _bench(url: str, tenant: str, seconds: float, tasks: int, progress: Bar) -> tuple[list[dict[str, Any]], bool]:
    async with opened(url) as storage:
        try:
            found = await _measure_all(storage.for_tenant(tenant), tenant, seconds, tasks, progress)
        finally:
            await storage.for_tenant(tenant).erase_tenant()
        return found, bool(await existing_tenants(storage, [tenant]))


async def _measure_all(
    storage: StorageBackend, tenant: str, seconds: float, tasks: int, progress: Bar
) -> list[dict[str, Any]]:
    event = EventRow(tenant_id=tenant, topic="bench", source="bench", payload=_TEXT)

    def session(number: int) -> SessionRow:
        return SessionRow(tenant_id=tenant, scope="bench", key=f"{number % _KEYS}", value=_TEXT, source_step="bench")

    def append(_number: int) -> Awaitable[object]:
        return storage.append_event(event)

    def save(number: int) -> Awaitable[object]:
        return storage.save_session(session(number))

    def read(number: int) -> Awaitable[object]:
        return storage.get_session("bench", f"{number % _KEYS}")

    await storage.save_many(session(number) for number in range(_KEYS))
    plan: list[tuple[str, int, Call]] = [
        ("append", 1, append), ("append", tasks, append), ("save", 1, save), ("save", tasks, save),
        ("read", 1, read), ("read", tasks, read),
    ]  # fmt: skip
    found = []
    for number, (name, concurrency, call) in enumerate(plan):
        progress.update(number, len(plan), text=f"{name}, {concurrency} tasks")
        await _measure(call, concurrency, seconds / 4)  # opens the connections
        found.append({"calls": name, "tasks": concurrency} | await _measure(call, concurrency, seconds))
    return found


async def _measure(call: Call, tasks: int, seconds: float) -> dict[str, float]:
    """Call from concurrent tasks until the time is over; return the rate and percentiles of the durations in ms."""
    durations: list[float] = []
    start = time.perf_counter()

    async def work(first: int) -> None:
        number = first
        while time.perf_counter() - start < seconds:
            began = time.perf_counter()
            await call(number)
            durations.append(time.perf_counter() - began)
            number += tasks

    async with asyncio.TaskGroup() as group:
        for first in range(tasks):
            group.create_task(work(first))
    elapsed = time.perf_counter() - start
    durations.sort()
    percentiles = {f"p{percent}": 1000 * durations[len(durations) * percent // 100] for percent in (50, 95, 99)}
    return {"count": len(durations), "per_second": len(durations) / elapsed} | percentiles


def _cells(found: dict[str, Any]) -> list[str]:
    numbers = [f"{found[name]:.2f}" for name in ("p50", "p95", "p99")]
    return [found["calls"], str(found["tasks"]), f"{found['per_second']:,.0f}", *numbers]
