"""Makes the calls of a program on a storage, and notes in a ledger what became of each."""

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
from tests.faults.walk.ledger import Call, Ledger, Removal, Violation, Write
from tests.faults.walk.program import Program, Step
from tests.faults.walk.reading import SCOPE, read, read_twice
from tests.samples import sample

SECONDS = 15.0
"""What a call may take that has no time-out of its own; nothing in a program takes nearly as long."""

GRACE = 10.0
"""Seconds after which a call that goes on beyond its time-out counts as hung, and the pool as leaking."""

REFUSED = "bad"
"""The source step of a session, and the topic of an event, that the database refuses."""


_REFUSABLE = ("session", "event")


class _OwnError(Exception):
    """Raised by a block."""


class Player:
    """One process's part of a run, as one tenant."""

    def __init__(self, program: Program, url: str, tenant: str, process: int = 0) -> None:
        self._program, self._tenant, self._process = program, tenant, process
        self.engine = create_engine(url, pool_size=program.pool_size, max_overflow=program.max_overflow)
        self._owner = SqlRepository(self.engine, group_commit=program.group_commit, operation_timeout=SECONDS)
        self._storage: StorageBackend = self._owner.for_tenant(tenant)
        self.ledger = Ledger()
        self._calls, self._hung, self._stalled = 0, False, False

    async def play(self) -> None:
        """Make all calls, read what is there when they have ended and a second later, and close."""
        await asyncio.gather(*(self._task(steps) for steps in self._program.tasks))
        if not self._hung:
            await read_twice(self._storage, self._process, self.ledger)
        await self._gets(_all_free(self.engine), GRACE, "the pool has not got back all its connections")
        await self._gets(self._owner.close(), SECONDS + GRACE, "close() has not ended")

    async def _task(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if step.pause:
                await asyncio.sleep(step.pause)
            if self._hung or self._stalled:  # what follows would only wait too
                return
            await self._step(step)

    async def _step(self, step: Step) -> None:
        call = Call(self._process, -1, step.kind, 0, refused=step.refused)
        running = asyncio.create_task(self._read(step) if step.kind == "read" else self._recorded(step, call))
        if step.cancel is not None:
            await asyncio.wait({running}, timeout=step.cancel)
            running.cancel()
        steps = len(step.writes) + 2 if call.is_block or step.again else 1
        longest = (step.timeout or SECONDS) * steps + sum(step.holds) + GRACE
        if not await self._gets(running, longest, f"{step} has not ended"):
            self._hung = True

    async def _gets(self, what: Awaitable[Any], seconds: float, complaint: str) -> bool:
        """Whether something ends in time; noted where it does not."""
        task = asyncio.ensure_future(what)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if not done:
            self._object("P6", f"{complaint} after {seconds:.0f} s")
            task.cancel()
        elif not task.cancelled():
            task.result()
        return bool(done)

    def _object(self, promise: str, text: str) -> None:
        self.ledger.violations.append(Violation(promise, text))

    # Writes.

    async def _recorded(self, step: Step, call: Call) -> None:
        make: Callable[[Step, Call], Awaitable[None]] = getattr(self, f"_{step.kind}")
        try:
            with operation_timeout(step.timeout) if step.timeout else nullcontext():
                await make(step, call)
            call.outcome = "stored"
        except asyncio.CancelledError:
            call.detail = "cancelled"
            if step.cancel is None and not self._hung:
                self._object("P6", f"{step} was cancelled by nobody")
        except _OwnError:
            call.detail = "raised"
        except Exception as error:  # whatever it is, it is told
            call.detail = f"{type(error).__name__}: {error}"[:120]
            self._judge(step, call, error)
        finally:
            call.end = time.monotonic_ns()
            if call.refused and call.number > 0:
                self._look_at_refusal(step, call)

    def _look_at_refusal(self, step: Step, call: Call) -> None:
        """Object where a refused row was accepted; where it makes its call fail, nothing of that may be stored.

        A save in a batch may return: if a later write of the same row is in that batch, the refused one is never sent.
        Its other rows are stored then.
        """
        refused = next((write for write in call.writes if write.row.startswith(_REFUSABLE)), None)
        in_a_batch = self._program.group_commit and not call.is_block and not call.detail.startswith("QueryError")
        if in_a_batch and refused is not None and refused.row.startswith("session"):
            call.writes.remove(refused)
        elif call.outcome == "stored":
            self._object("P5", f"{step} was to be refused, and returned")
        else:
            call.outcome = "never"

    def _judge(self, step: Step, call: Call, error: Exception) -> None:
        """Object to an error that is not transient, and to a wait that used up its time though nobody holds much."""
        refused = call.refused and isinstance(error, QueryError)
        if not isinstance(error, StorageError) or not (error.transient or refused):
            self._object("P5", f"{step}: {type(error).__name__}: {error}")
        took = (time.monotonic_ns() - call.start) / 1e9
        # PostgreSQL takes a second to find a deadlock, and a call may meet many
        quick = self._program.sorted_blocks or self.engine.dialect.name != "postgresql"
        if step.timeout is None and quick and took > SECONDS * 0.95:
            self._stalled = True
            self._object("P6", f"{step} waited for {took:.0f} s, and no block is held for a second: {error}")

    @contextmanager
    def _begun(self, call: Call) -> Iterator[str]:
        """Number a call, and give the value that it writes; its coroutine is to start inside, with no wait before."""
        self._calls += 1
        call.number, call.start = self._calls, time.monotonic_ns()
        self.ledger.calls.append(call)
        yield f"{call.process}.{call.number}"

    async def _save(self, step: Step, call: Call) -> None:
        with self._begun(call) as value:
            row = step.writes[0][1]
            call.writes.append(Write(row, value, call.start))
            await self._storing(self._storage, self._row(row, value, refused=step.refused))

    async def _append(self, step: Step, call: Call) -> None:
        with self._begun(call) as value:
            call.writes.append(Write(f"event/{value}", value, call.start))
            known, event = new_id(), self._row("event", value, refused=step.refused)
            if step.again:
                await self._append_first(event, known)
            await self._storage.append_event(event, id=known)

    async def _append_first(self, event: EventRow, known: Any) -> None:
        with suppress(StorageError):  # the second one is judged
            await self._storage.append_event(event, id=known)

    async def _many(self, step: Step, call: Call) -> None:
        with self._begun(call) as value:
            places = [f"event/{value}" if row == "event" else row for _, row in step.writes]
            call.writes += [Write(row, value, call.start) for row in places]
            refused = [row for row in places if step.refused and row.startswith(_REFUSABLE)][:1]
            await self._storage.save_many([self._row(row, value, refused=row in refused) for row in places])

    async def _delete(self, step: Step, call: Call) -> None:
        with self._begun(call):
            rows = [row for _, row in step.writes]
            call.writes += [Write(row, None, call.start) for row in rows]
            await self._removing(self._storage, call, rows)

    async def _removing(self, storage: StorageBackend, call: Call, rows: list[str]) -> None:
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

    async def _block(self, step: Step, call: Call) -> None:
        # until its end a block is one that must not leave anything, however it ends
        call.outcome = "never"
        with self._begun(call) as value:
            async with self._storage.transaction() as block:
                refused = [row for verb, row in step.writes if verb == "save" and row.startswith("session")][:1]
                for (verb, row), hold in zip(step.writes, step.holds, strict=True):
                    write = Write(row, None if verb == "delete" else value, time.monotonic_ns())
                    call.writes.append(write)
                    if verb == "delete":
                        await self._removing(block, call, [row])
                    else:
                        bad = step.refused and row in refused
                        await self._storing(block, self._row(row, value, refused=bad))
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
    def _storing(storage: StorageBackend, row: Row) -> Awaitable[None]:
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
        except Exception as error:  # whatever it is, it is told
            if not isinstance(error, StorageError) or not error.transient:
                self._object("P5", f"{step}: {type(error).__name__}: {error}")


async def _all_free(engine: AsyncEngine) -> None:
    """Wait until every connection is back in the pool."""
    pool = engine.sync_engine.pool
    assert isinstance(pool, QueuePool)
    while pool.checkedout():  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(0.01)
