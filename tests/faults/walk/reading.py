"""The reads of a walk, recorded in a ledger with the rows they found."""

import asyncio
import time
from collections import Counter

from axon_storage import StorageBackend
from tests.faults.walk.ledger import Ledger, Read, Violation

SCOPE = "walk"
"""The scope of all sessions."""


async def read(storage: StorageBackend, process: int, ledger: Ledger, row: str) -> None:
    """Read a row, or with ``*`` as its key all rows of a kind, and record what is there."""
    kind, _, key = row.partition("/")
    start = time.monotonic_ns()
    found = await (_all_of(storage, kind) if key == "*" else _one(storage, kind, key))
    ledger.reads.append(Read(process, start, time.monotonic_ns(), kind, dict(found), whole=key == "*"))
    twice = [name for name, count in Counter(name for name, _ in found).items() if count > 1]
    ledger.violations += [Violation("P1", f"{name} is there twice") for name in twice]


async def _one(storage: StorageBackend, kind: str, key: str) -> list[tuple[str, str | None]]:
    if kind == "trace":
        trace = await storage.get_trace(int(key))
        return [(f"trace/{key}", None if trace is None else trace.status)]
    entry = await storage.get_session(SCOPE, key)
    return [(f"session/{key}", None if entry is None else entry.value)]


async def _all_of(storage: StorageBackend, kind: str) -> list[tuple[str, str | None]]:
    match kind:
        case "trace":
            return [(f"trace/{trace.trace_id}", trace.status) for trace in await storage.load_traces(10**6)]
        case "session":
            return [(f"session/{entry.key}", entry.value) for entry in await storage.load_sessions(SCOPE)]
        case "daemon":
            return [(f"daemon/{daemon.name}", daemon.state) for daemon in await storage.load_daemons()]
        case _:
            return [(f"event/{event.source}", event.source) for event in await storage.query_events(None, 10**6)]


async def read_twice(storage: StorageBackend, process: int, ledger: Ledger) -> None:
    """Read everything, and again a second later, when late writes show."""
    for pause in (0.0, 1.0):
        await asyncio.sleep(pause)
        for kind in ("trace", "session", "daemon", "event"):
            await read(storage, process, ledger, f"{kind}/*")
