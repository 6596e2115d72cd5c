"""Make the calls of a program on a storage, and record the result of each in a ledger."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from sqlalchemy import QueuePool
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    DaemonRow,
    EventRow,
    QueryError,
    Row,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageError,
    TraceRow,
    create_engine,
    new_id,
    operation_timeout,
)
from axon_storage.testing.samples import sample
from tests.faults.walk.ledger import Call, Ledger, Removal, Violation, Write
from tests.faults.walk.program import Program, Step
from tests.faults.walk.reading import SCOPE, read, read_twice

SECONDS = 15.0
"""The time-out of calls that have none of their own. Nothing in a program takes nearly as long."""

GRACE = 10.0
"""Seconds beyond its time-out after which a call counts as hung, or a missing connection as leaked."""

REFUSED = "bad"
"""The source step of a session, and the topic of an event, that the database refuses."""


_REFUSABLE = ("session", "event")


class _OwnError(Exception):
    """Raised by the body of a transaction."""


class Player:
    """Plays the program of one process, as one tenant."""

    def __init__(self, program: Program, url: str, tenant: str, process: int = 0) -> None:
        self._program, self._tenant, self._process = program, tenant, process
        self.engine = create_engine(url, pool_size=program.pool_size, max_overflow=program.max_overflow)
        self._owner = SqlRepository(self.engine, group_commit=program.group_commit, operation_timeout=SECONDS)
        self._storage: StorageBackend = self._owner.for_tenant(tenant)
        self.ledger = Ledger()
        self._calls, self._hung, self._stalled = 0, False, False

    async def play(self) -> None:
        """Make all calls, read everything when they have ended and again a second later, and close."""
        await asyncio.gather(*(self._task(steps) for steps in self._program.tasks))
        if not self._hung:
            await read_twice(self._storage, self._process, self.ledger)
        await self._ends_in_time(_all_free(self.engine), GRACE, "not all connections have been returned to the pool")
        await self._ends_in_time(self._owner.close(), SECONDS + GRACE, "close() has not ended")

    async def _task(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if step.pause:
                await asyncio.sleep(step.pause)
            if self._hung or self._stalled:  # later calls would only wait too
                return
            await self._step(step)

    async def _step(self, step: Step) -> None:
        call = Call(self._process, -1, step.kind, 0, refused=step.refused)
        running = asyncio.create_task(self._read(step) if step.kind == "read" else self._record_write(step, call))
        if step.cancel is not None:
            await asyncio.wait({running}, timeout=step.cancel)
            running.cancel()
        steps = len(step.writes) + 2 if call.is_transaction or step.again else 1
        longest = (step.timeout or SECONDS) * steps + sum(step.holds) + GRACE
        if not await self._ends_in_time(running, longest, f"{step} has not ended"):
            self._hung = True

    async def _ends_in_time(self, what: Awaitable[Any], seconds: float, problem: str) -> bool:
        """Await something; return whether it ended in time, and record a violation if it did not."""
        task = asyncio.ensure_future(what)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            self._add_violation("P6", f"{problem} after {seconds:.0f} s")
            task.cancel()
        elif not task.cancelled():
            task.result()
        return bool(done)

    def _add_violation(self, promise: str, text: str) -> None:
        self.ledger.violations.append(Violation(promise, text))

    # Writes.

    async def _record_write(self, step: Step, call: Call) -> None:
        call_method: Callable[[Step, Call], Awaitable[None]] = getattr(self, f"_{step.kind}")
        try:
            with operation_timeout(step.timeout) if step.timeout else nullcontext():
                await call_method(step, call)
            call.outcome = "stored"
        except asyncio.CancelledError:
            call.detail = "cancelled"
            if step.cancel is None and not self._hung:
                self._add_violation("P6", f"{step} was cancelled, and no caller had cancelled it")
        except _OwnError:
            call.detail = "raised"
        except Exception as error:  # any error is recorded
            call.detail = f"{type(error).__name__}: {error}"[:120]
            self._check_error(step, call, error)
        finally:
            call.end = time.monotonic_ns()
            if call.refused and call.number > 0:
                self._check_refusal(step, call)

    def _check_refusal(self, step: Step, call: Call) -> None:
        """Record a violation if a refused row was accepted; a call that failed must have stored nothing.

        A save in a batch may succeed: if the batch has a later write of the same row, the refused one is never sent.
        The call's other rows are then stored.
        """
        refused = next((write for write in call.writes if write.row.startswith(_REFUSABLE)), None)
        in_a_batch = self._program.group_commit and not call.is_transaction and not call.detail.startswith("QueryError")
        if in_a_batch and refused is not None and refused.row.startswith("session"):
            call.writes.remove(refused)
        elif call.outcome == "stored":
            self._add_violation("P5", f"{step} should have been refused, and returned")
        else:
            call.outcome = "never"

    def _check_error(self, step: Step, call: Call, error: Exception) -> None:
        """Record a violation for a permanent error, and for a wait much longer than any lock is held."""
        refused = call.refused and isinstance(error, QueryError)
        if not isinstance(error, StorageError) or not (error.transient or refused):
            self._add_violation("P5", f"{step}: {type(error).__name__}: {error}")
        took = (time.monotonic_ns() - call.start) / 1e9
        # PostgreSQL takes a second to detect a deadlock, and a call may be part of several
        quick = self._program.sorted_transactions or self.engine.dialect.name != "postgresql"
        if step.timeout is None and quick and took > SECONDS * 0.95:
            self._stalled = True
            self._add_violation(
                "P6", f"{step} waited for {took:.0f} s, and no transaction is held for a second: {error}"
            )

    @contextmanager
    def _begin_call(self, call: Call) -> Iterator[str]:
        """Number a call, and yield the value that it writes. Its coroutine must start inside, without a wait before."""
        self._calls += 1
        call.number, call.start = self._calls, time.monotonic_ns()
        self.ledger.calls.append(call)
        yield f"{call.process}.{call.number}"

    async def _save(self, step: Step, call: Call) -> None:
        with self._begin_call(call) as value:
            row = step.writes[0][1]
            call.writes.append(Write(row, value, call.start))
            await self._save_row(self._storage, self._row(row, value, refused=step.refused))

    async def _append(self, step: Step, call: Call) -> None:
        with self._begin_call(call) as value:
            call.writes.append(Write(f"event/{value}", value, call.start))
            known, event = new_id(), self._row("event", value, refused=step.refused)
            if step.again:
                await self._append_first(event, known)
            await self._storage.append_event(event, id=known)

    async def _append_first(self, event: EventRow, known: Any) -> None:
        with suppress(StorageError):  # the second append is checked
            await self._storage.append_event(event, id=known)

    async def _many(self, step: Step, call: Call) -> None:
        with self._begin_call(call) as value:
            rows = [f"event/{value}" if row == "event" else row for _, row in step.writes]
            call.writes += [Write(row, value, call.start) for row in rows]
            refused = [row for row in rows if step.refused and row.startswith(_REFUSABLE)][:1]
            await self._storage.save_many([self._row(row, value, refused=row in refused) for row in rows])

    async def _delete(self, step: Step, call: Call) -> None:
        with self._begin_call(call):
            rows = [row for _, row in step.writes]
            call.writes += [Write(row, None, call.start) for row in rows]
            await self._delete_rows(self._storage, call, rows)

    async def _delete_rows(self, storage: StorageBackend, call: Call, rows: list[str]) -> None:
        start, keys = time.monotonic_ns(), [row.partition("/")[2] for row in rows]
        match rows[0].partition("/")[0]:
            case "trace":
                count = await storage.delete_traces(map(int, keys))
            case "session":
                count = await storage.delete_session(SCOPE, keys[0])
            case _:
                count = await storage.delete_daemon(keys[0])
        end = time.monotonic_ns()
        self.ledger.removals.append(Removal(call.process, call.number, start, end, rows, int(count)))

    async def _transaction(self, step: Step, call: Call) -> None:
        # until its body has ended, a transaction must store nothing, however it ends
        call.outcome = "never"
        with self._begin_call(call) as value:
            async with self._storage.transaction() as transaction:
                refused = [row for verb, row in step.writes if verb == "save" and row.startswith("session")][:1]
                for (verb, row), hold in zip(step.writes, step.holds, strict=True):
                    write = Write(row, None if verb == "delete" else value, time.monotonic_ns())
                    call.writes.append(write)
                    if verb == "delete":
                        await self._delete_rows(transaction, call, [row])
                    else:
                        bad = step.refused and row in refused
                        await self._save_row(transaction, self._row(row, value, refused=bad))
                    write.end = time.monotonic_ns()
                    await asyncio.sleep(hold)
                if step.raises:
                    raise _OwnError
                call.outcome = "open"

    def _row(self, row: str, value: str, *, refused: bool) -> Any:
        kind, _, key = row.partition("/")
        word = REFUSED if refused else "good"
        match kind:
            case "trace":
                return sample(TraceRow, self._tenant, trace_id=int(key), status=value)
            case "session":
                return sample(SessionRow, self._tenant, scope=SCOPE, key=key, value=value, source_step=word)
            case "daemon":
                return sample(DaemonRow, self._tenant, name=key, state=value)
            case _:
                return sample(EventRow, self._tenant, topic=word, source=value)

    @staticmethod
    def _save_row(storage: StorageBackend, row: Row) -> Awaitable[None]:
        match row:
            case TraceRow():
                return storage.save_trace(row)
            case SessionRow():
                return storage.save_session(row)
            case DaemonRow():
                return storage.save_daemon(row)
        raise TypeError(type(row))

    # Reads.

    async def _read(self, step: Step) -> None:
        try:
            await read(self._storage, self._process, self.ledger, step.writes[0][1])
        except Exception as error:  # any error is recorded
            if not isinstance(error, StorageError) or not error.transient:
                self._add_violation("P5", f"{step}: {type(error).__name__}: {error}")


async def _all_free(engine: AsyncEngine) -> None:
    """Wait until every connection is back in the pool."""
    pool = engine.sync_engine.pool
    assert isinstance(pool, QueuePool)
    while pool.checkedout():  # noqa: ASYNC110  # the pool has no event for it
        await asyncio.sleep(0.01)
