"""Run a walk, which is one program for each process, on a database, and check the ledger."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text

from axon_storage import SqlRepository, create_engine, schema
from tests.faults.walk.ledger import Ledger, Violation
from tests.faults.walk.model import Model
from tests.faults.walk.player import REFUSED, Player
from tests.faults.walk.program import Program, generate
from tests.faults.walk.reading import read_twice

Walk = list[Program]

_ROOT = Path(__file__).parents[3]
_LONGEST = 600.0
"""Seconds that a process may take; each of its calls has a limit of its own."""

_REFUSABLE = {"sessions": "source_step", "event_history": "topic"}
_TRIGGER = (
    "CREATE TRIGGER refuse_{table} BEFORE INSERT ON {table} WHEN NEW.{column} = '{word}' "
    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
)
_CHECK = "ALTER TABLE {table} ADD CONSTRAINT refuse_{table} CHECK ({column} <> '{word}')"


@dataclass
class Outcome:
    """The result of a run: its violations, and how many calls and reads it made."""

    violations: list[Violation]
    calls: int
    reads: int
    seconds: float
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def promises(self) -> set[str]:
        """The promises that were broken."""
        return {violation.promise for violation in self.violations}


async def prepare(url: str) -> None:
    """Create the schema in an empty database, with constraints that refuse the rows marked as refused."""
    await schema.upgrade(url)
    engine = create_engine(url)
    statement = _TRIGGER if url.startswith("sqlite") else _CHECK
    async with engine.begin() as connection:
        for table, column in _REFUSABLE.items():
            await connection.execute(text(statement.format(table=table, column=column, word=REFUSED)))
    await engine.dispose()


def make_walk(seed: int, calls: int, processes: int = 1) -> Walk:
    """Make the programs of a walk with ``calls`` calls in all."""
    share = -(-calls // processes)
    return [generate(seed, share, process=number, processes=processes) for number in range(processes)]


async def run(walk: Walk, url: str) -> Outcome:
    """Run a walk as a tenant of its own; a walk of one program runs in this process."""
    began, tenant = time.monotonic(), f"walk {uuid4().hex[:12]}"
    if len(walk) == 1:
        player = Player(walk[0], url, tenant)
        await player.play()
        ledger = player.ledger
    else:
        ledger = await _in_processes(walk, url, tenant)
    violations = Model(ledger).violations()
    ends = Counter(call.detail.partition(":")[0] or "stored" for call in ledger.calls)
    return Outcome(violations, len(ledger.calls), len(ledger.reads), time.monotonic() - began, ends)


async def _in_processes(walk: Walk, url: str, tenant: str) -> Ledger:
    """Run each program in a process of its own, and read everything when all have closed their storages."""
    workers = [await _started(program, url, tenant, number) for number, program in enumerate(walk)]
    for worker in workers:
        assert worker.stdout is not None
        assert await worker.stdout.readline() == b"ready\n"
    ledger = Ledger()
    for part in await asyncio.gather(*map(_ledger_of, workers)):
        ledger.add(part)
    async with SqlRepository(create_engine(url)) as storage:
        await read_twice(storage.for_tenant(tenant), len(walk), ledger)
    return ledger


async def _started(program: Program, url: str, tenant: str, process: int) -> Process:
    command = [sys.executable, "-m", "tests.faults.walk.worker"]
    worker = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, stdin=PIPE, stdout=PIPE, limit=2**26)
    assert worker.stdin is not None
    order = {"program": program.to_json(), "url": url, "tenant": tenant, "process": process}
    worker.stdin.write(json.dumps(order).encode() + b"\n")
    return worker


async def _ledger_of(worker: Process) -> Ledger:
    """Let a worker begin, and return its ledger."""
    try:
        async with asyncio.timeout(_LONGEST):
            output, _ = await worker.communicate(b"go\n")
    except TimeoutError:
        worker.kill()
        return Ledger(violations=[Violation("P6", f"a process has not ended after {_LONGEST:.0f} s")])
    if worker.returncode:
        return Ledger(violations=[Violation("P6", f"a process ended with status {worker.returncode}")])
    return Ledger.from_json(json.loads(output))
