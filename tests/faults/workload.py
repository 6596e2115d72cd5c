"""A load of mixed calls that remembers what was acknowledged, and the audit of what is there afterwards."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from axon_storage import EventRow, SessionRow, StorageBackend, StorageError, TraceRow, new_id
from tests.samples import sample

TENANTS = ("left", "right")
KEYS = 12
"""Keys of each task in each table."""
ABSENT = None
CALLS = ("trace", "trace", "session", "session", "event", "event", "many", "forget", "drop", "block")


@dataclass
class Known:
    """What may be found under a key: the value acknowledged last, and those attempted since."""

    acknowledged: Any = ABSENT
    attempted: list[Any] = field(default_factory=list)

    def may_hold(self, value: Any) -> bool:
        """Whether this value is no loss and no ghost."""
        return value == self.acknowledged or value in self.attempted


@dataclass
class Ledger:
    """Of one run: every key's known values, every append's fate, and the counts for the table."""

    keys: dict[tuple[str, str, Any], Known] = field(default_factory=dict)
    appended: dict[UUID, bool] = field(default_factory=dict)
    twins: list[tuple[UUID, UUID]] = field(default_factory=list)
    """Appends of one transaction, of which both are there or none."""
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    longest_silence: float = 0.0
    """Seconds between two acknowledgements, of whatever task."""
    _heard: float = field(default_factory=time.monotonic)

    async def change(self, table: str, tenant: str, key: Any, value: Any, call: Awaitable[Any]) -> None:
        """Make a call that leaves ``value`` under a key, and note how it ended."""
        known = self.keys.setdefault((table, tenant, key), Known())
        known.attempted.append(value)
        if await self._ends_well(call):
            known.acknowledged, known.attempted = value, []

    async def append(self, row_id: UUID, call: Awaitable[Any]) -> None:
        """Make a call that appends a row under an id, and note how it ended."""
        self.appended[row_id] = False
        self.appended[row_id] = await self._ends_well(call)

    async def _ends_well(self, call: Awaitable[Any]) -> bool:
        try:
            await call
        except StorageError as error:
            self.outcomes["failed"] += 1
            if not error.transient:
                self.problems.append(f"not transient: {error}")
            return False
        self.outcomes["acknowledged"] += 1
        before, self._heard = self._heard, time.monotonic()
        self.longest_silence = max(self.longest_silence, self._heard - before)
        return True


async def run(
    storage: StorageBackend, ledger: Ledger, *, tasks: int, operations: int, seed: int, first: int = 0
) -> None:
    """Carry out at least ``operations`` calls from that many tasks; each, numbered from ``first``, has its own keys."""
    share = -(-operations // tasks)
    numbered = {number: random.Random(seed + number) for number in range(first, first + tasks)}  # noqa: S311  # repeatable
    await asyncio.gather(*(_task(storage, ledger, f"{seed}", number, share, dice) for number, dice in numbered.items()))


async def _task(
    storage: StorageBackend, ledger: Ledger, name: str, task: int, operations: int, dice: random.Random
) -> None:
    for turn in range(operations):
        tenant = dice.choice(TENANTS)
        view, stamp, key = storage.for_tenant(tenant), f"{name} {task} {turn}", dice.randrange(KEYS)
        trace_id = task * KEYS + key
        match dice.choice(CALLS):
            case "trace":
                trace = sample(TraceRow, tenant, trace_id=trace_id, status=stamp)
                await ledger.change("traces", tenant, trace_id, stamp, view.save_trace(trace))
            case "session":
                entry = sample(SessionRow, tenant, scope=str(task), key=str(key), value=stamp)
                await ledger.change("sessions", tenant, (str(task), str(key)), stamp, view.save_session(entry))
            case "event":
                row_id = new_id()
                event = sample(EventRow, tenant, source=str(row_id))
                await ledger.append(row_id, view.append_event(event, id=row_id))
            case "many":
                await _many(view, ledger, tenant, task, stamp)
            case "forget":
                place = (str(task), str(key))
                await ledger.change("sessions", tenant, place, ABSENT, view.delete_session(*place))
            case "drop":
                await ledger.change("traces", tenant, trace_id, ABSENT, view.delete_traces([trace_id]))
            case _:
                await _block(view, ledger, tenant, trace_id, stamp)


async def _many(view: StorageBackend, ledger: Ledger, tenant: str, task: int, stamp: str) -> None:
    ids = [task * KEYS + key for key in range(KEYS)]
    rows = [sample(TraceRow, tenant, trace_id=trace_id, status=stamp) for trace_id in ids]
    knowns = [ledger.keys.setdefault(("traces", tenant, trace_id), Known()) for trace_id in ids]
    for known in knowns[1:]:
        known.attempted.append(stamp)
    await ledger.change("traces", tenant, ids[0], stamp, view.save_many(rows))
    if knowns[0].acknowledged == stamp:
        for known in knowns[1:]:
            known.acknowledged, known.attempted = stamp, []


async def _block(view: StorageBackend, ledger: Ledger, tenant: str, trace_id: int, stamp: str) -> None:
    row_id, twin = new_id(), new_id()

    async def block() -> None:
        async with view.transaction() as inner:
            await inner.save_trace(sample(TraceRow, tenant, trace_id=trace_id, status=stamp))
            await inner.append_event(sample(EventRow, tenant, source=str(row_id)), id=row_id)
            await inner.append_event(sample(EventRow, tenant, source=str(twin)), id=twin)

    known = ledger.keys.setdefault(("traces", tenant, trace_id), Known())
    known.attempted.append(stamp)
    await ledger.append(row_id, block())
    ledger.appended[twin] = ledger.appended[row_id]
    ledger.twins.append((row_id, twin))
    if ledger.appended[row_id]:
        known.acknowledged, known.attempted = stamp, []


async def audit(storage: StorageBackend, ledger: Ledger) -> tuple[int, int]:
    """Give how many rows are lost, and how many are there twice or as they never were; each is told in ``problems``."""
    lost = doubled = 0
    for tenant in TENANTS:
        view = storage.for_tenant(tenant)
        found: dict[tuple[str, Any], str] = {
            ("traces", trace.trace_id): trace.status for trace in await view.load_traces(10**6)
        }
        for scope in await view.session_scopes():
            found |= {("sessions", (scope, entry.key)): entry.value for entry in await view.load_sessions(scope)}
        for (table, owner, key), known in ledger.keys.items():
            if owner == tenant and not known.may_hold(found.pop((table, key), ABSENT)):
                lost += 1
                ledger.problems.append(f"{table} {tenant} {key}: not {known}")
        doubled += len(found)
        ledger.problems += [f"{tenant} {place}: never stored" for place in found]
    events: Counter[UUID] = Counter()
    for tenant in TENANTS:
        events.update(UUID(event.source) for event in await storage.for_tenant(tenant).query_events(None, 10**6))
    lost += sum(1 for row_id, acknowledged in ledger.appended.items() if acknowledged and not events[row_id])
    lost += sum(1 for one, other in ledger.twins if events[one] != events[other])
    doubled += sum(1 for row_id, count in events.items() if count > 1 or row_id not in ledger.appended)
    return lost, doubled
