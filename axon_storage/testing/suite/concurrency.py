"""Many concurrent tasks: no row is lost, no call fails, and a cancelled call leaves the pool clean."""

import asyncio
import random

from axon_storage import EventRow, Row, SessionRow, StorageBackend, TraceRow
from axon_storage.testing.samples import sample

TASKS = 32


async def test_tasks_that_save_the_same_keys_lose_nothing_and_get_no_error(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()

    async def save(task: int) -> None:
        order = random.Random(task)  # noqa: S311  # a repeatable shuffle
        for turn in range(4):
            keys = order.sample(range(40), 15)
            rows: list[Row] = [sample(SessionRow, tenant, key=str(key), value=f"{task} {turn}") for key in keys]
            rows += [sample(TraceRow, tenant, trace_id=key, status=f"{task} {turn}") for key in keys]
            await storage.save_many([*rows, sample(EventRow, tenant, source=f"{task} {turn}")])
            await storage.save_session(sample(SessionRow, tenant, key=f"own {task}", value=str(turn)))

    await asyncio.gather(*(save(task) for task in range(TASKS)))
    entries = {entry.key: entry.value for entry in await storage.load_sessions("name")}
    traces = {str(trace.trace_id): trace.status for trace in await storage.load_traces(999)}
    assert {key for key in entries if not key.startswith("own")} == {str(key) for key in range(40)} == set(traces)
    # each transaction wrote a key's entry and its trace together
    assert {key: entries[key] for key in traces} == traces
    assert [entries[f"own {task}"] for task in range(TASKS)] == ["3"] * TASKS
    assert {event.source for event in await storage.query_events(None, 999)} == {
        f"{task} {turn}" for task in range(TASKS) for turn in range(4)
    }


async def test_concurrent_deletes_and_saves_raise_no_error(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()

    async def churn(task: int) -> int:
        gone = 0
        for turn in range(5):
            await storage.save_many(sample(TraceRow, tenant, trace_id=key) for key in range(task % 7, 60, 1 + turn))
            gone += await storage.delete_traces(range(turn, 60, 2))
        return gone

    await asyncio.gather(*(churn(task) for task in range(16)))
    left = {trace.trace_id for trace in await storage.load_traces(999)}
    assert await storage.delete_traces(range(60)) == len(left)


async def test_a_delete_removes_every_row_even_while_others_save_it(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    rows = [sample(TraceRow, tenant, trace_id=key) for key in range(2**64 - 10, 2**64)]
    rows += [sample(TraceRow, tenant, trace_id=key) for key in range(10)]
    done = asyncio.Event()

    async def save() -> None:
        while not done.is_set():
            await storage.save_many(rows)
            await storage.save_trace(rows[3])

    savers = [asyncio.create_task(save()) for _ in range(4)]
    for _ in range(20):
        await storage.save_many(rows)
        assert await storage.delete_traces(row.trace_id for row in rows) == len(rows)
    done.set()
    await asyncio.gather(*savers)
