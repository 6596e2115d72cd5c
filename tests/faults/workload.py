"""A workload of mixed calls that records which were acknowledged, and an audit of the rows that are stored."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from axon_storage import EventRow, SessionRow, StorageBackend, StorageError, TraceRow, new_id
from axon_storage.testing.samples import sample

TENANTS = ("left", "right")
KEYS = 12
"""The number of keys of each task in each table."""
ABSENT = None
CALLS = ("trace", "trace", "session", "session", "event", "event", "many", "forget", "drop", "transaction")


@dataclass
class Known:
    """The values that a key may have: the last one acknowledged, and those attempted since."""

    acknowledged: Any = ABSENT
    attempted: list[Any] = field(default_factory=list)

    def may_hold(self, value: Any) -> bool:
        """Return whether the key may have this value."""
        return value == self.acknowledged or value in self.attempted


@dataclass
class Ledger:
    """The record of one run: the possible values of each key, the result of each append, and counts."""

    keys: dict[tuple[str, str, Any], Known] = field(default_factory=dict)
    appended: dict[UUID, bool] = field(default_factory=dict)
    twins: list[tuple[UUID, UUID]] = field(default_factory=list)
    """Pairs of appends of one transaction: both are stored or neither."""
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    longest_silence: float = 0.0
    """The longest time between two acknowledgements of any tasks, in seconds."""
    _heard: float = field(default_factory=time.monotonic)

    async def change(self, table: str, tenant: str, key: Any, value: Any, call: Awaitable[Any]) -> None:
        """Make a call that sets a key to ``value``, and record whether it succeeded."""
        known = self.keys.setdefault((table, tenant, key), Known())
        known.attempted.append(value)
        if await self._ends_well(call):
            known.acknowledged, known.attempted = value, []

    async def append(self, row_id: UUID, call: Awaitable[Any]) -> None:
        """Make a call that appends a row under an id, and record whether it succeeded."""
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
    """Make at least ``operations`` calls from several tasks, which are numbered from ``first`` and share no keys."""
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
                session = (str(task), str(key))
                await ledger.change("sessions", tenant, session, ABSENT, view.delete_session(*session))
            case "drop":
                await ledger.change("traces", tenant, trace_id, ABSENT, view.delete_traces([trace_id]))
            case _:
                await _transaction(view, ledger, tenant, trace_id, stamp)


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


async def _transaction(view: StorageBackend, ledger: Ledger, tenant: str, trace_id: int, stamp: str) -> None:
    row_id, twin = new_id(), new_id()

    async def write_all() -> None:
        async with view.transaction() as transaction:
            await transaction.save_trace(sample(TraceRow, tenant, trace_id=trace_id, status=stamp))
            await transaction.append_event(sample(EventRow, tenant, source=str(row_id)), id=row_id)
            await transaction.append_event(sample(EventRow, tenant, source=str(twin)), id=twin)

    known = ledger.keys.setdefault(("traces", tenant, trace_id), Known())
    known.attempted.append(stamp)
    await ledger.append(row_id, write_all())
    ledger.appended[twin] = ledger.appended[row_id]
    ledger.twins.append((row_id, twin))
    if ledger.appended[row_id]:
        known.acknowledged, known.attempted = stamp, []


async def audit(storage: StorageBackend, ledger: Ledger) -> tuple[int, int]:
    """Count the rows that are lost, and those that are duplicated or were never written; list each in ``problems``."""
    lost = duplicated = 0
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
        duplicated += len(found)
        ledger.problems += [f"{tenant} {row}: never written" for row in found]
    events: Counter[UUID] = Counter()
    for tenant in TENANTS:
        events.update(UUID(event.source) for event in await storage.for_tenant(tenant).query_events(None, 10**6))
    lost += sum(1 for row_id, acknowledged in ledger.appended.items() if acknowledged and not events[row_id])
    lost += sum(1 for one, other in ledger.twins if events[one] != events[other])
    duplicated += sum(1 for row_id, count in events.items() if count > 1 or row_id not in ledger.appended)
    return lost, duplicated
