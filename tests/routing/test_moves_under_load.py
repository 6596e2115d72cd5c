"""move beside writers in several processes, one of which stands still meanwhile, and with movers that are killed."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

import pytest

from axon_storage import open_storage
from axon_storage.moving import MoveStep
from tests.doses import EVERYTHING
from tests.routing.conftest import NewFile
from tests.routing.sites import Site
from tests.routing.worker import TENANT

CHECKOUT = Path(__file__).parents[2]
MOMENTS = 24 if EVERYTHING else 4
STEPS = [*MoveStep]

pytestmark = pytest.mark.timeout(900)


def _process(module: str, site: Site, argument: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", f"tests.routing.{module}", site.home, *site.databases.values(), argument]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=CHECKOUT, stdin=pipe, stdout=pipe, text=True)


class Workers:
    """Processes that write. ``lines``: what they have printed, when they have ended."""

    def __init__(self, site: Site, folder: Path, count: int) -> None:
        self._site, self._folder, self._count = site, folder, count
        self.lines: list[str] = []
        self.processes: list[subprocess.Popen[str]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run them during a block. Each has acknowledged a call when the block begins."""
        with ExitStack() as stack:
            files = [stack.enter_context((self._folder / f"{name}").open("w+")) for name in range(self._count)]
            for name, file in enumerate(files):
                command = [sys.executable, "-m", "tests.routing.worker", self._site.home]
                command += [*self._site.databases.values(), f"w{name}"]
                process = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=file, text=True)
                self.processes.append(stack.enter_context(process))
                stack.callback(process.kill)  # it has ended, unless the test failed
            yield
            for process in self.processes:
                process.communicate(timeout=120)
                assert process.returncode == 0
            for file in files:
                file.seek(0)
                self.lines += file.read().splitlines()

    async def have_written(self, count: int | None = None) -> None:
        """Wait until each process, or each of the first ``count``, has printed some more lines."""
        files = [self._folder / f"{name}" for name in range(self._count)][:count]
        before = [file.stat().st_size for file in files]
        for file, size in zip(files, before, strict=True):
            while file.stat().st_size < size + 200:  # noqa: ASYNC110  # another process writes
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def last_stands_still(self) -> AsyncIterator[None]:
        """Stop the last process during a block, at a moment at which it does not hold up the others."""
        last = self.processes[-1]
        while True:
            last.send_signal(signal.SIGSTOP)
            try:
                await asyncio.wait_for(self.have_written(self._count - 1), 2)
                break
            except TimeoutError:
                last.send_signal(signal.SIGCONT)
                await asyncio.sleep(0.05)
        yield
        last.send_signal(signal.SIGCONT)


async def _check(site: Site, workers: Workers, database: str) -> None:
    """Check that each acknowledged event is there once.

    The other database may only have what a process that stood still has written, and what was not acknowledged.
    """
    marks = Counter(line[0] for line in workers.lines)
    assert set(marks) <= {"+", "?"}, [line for line in workers.lines if line.startswith("!")]
    acknowledged = {line[2:] for line in workers.lines if line.startswith("+")}
    unknown = {" ".join(line.split()[1:4]) for line in workers.lines if line.startswith("?")}
    async with open_storage(site.databases[database], migrate=False) as storage:
        found = Counter([recorded.row.payload async for recorded in storage.for_tenant(TENANT).iter_events()])
        saved = {row.key: row.value for row in await storage.for_tenant(TENANT).load_sessions("w0")}
    assert max(found.values()) == 1
    assert acknowledged <= found.keys()
    assert found.keys() <= acknowledged | unknown
    assert all(value in found for value in saved.values())
    other = "one" if database == "two" else "two"
    async with open_storage(site.databases[other], migrate=False) as storage:
        left = [recorded.row.payload async for recorded in storage.for_tenant(TENANT).iter_events()]
    assert unknown.issuperset(left)
    sys.stdout.write(f"{len(acknowledged)} acknowledged, {len(unknown)} unknown, {len(found)} found, {len(left)} left")


async def test_a_move_under_load_loses_and_doubles_nothing(new_file: NewFile, url: str, tmp_path: Path) -> None:
    site = Site(new_file(), new_file(), url)
    workers = Workers(site, tmp_path, 3)
    with workers.running():
        await workers.have_written()
        for database in ("two", "one", "two") if EVERYTHING else ("two",):
            async with workers.last_stands_still():
                await site.move(TENANT, database)
            await workers.have_written()
    await _check(site, workers, "two")


async def test_a_mover_that_is_killed_at_any_step_goes_on(new_file: NewFile, url: str, tmp_path: Path) -> None:
    site, random, killed = Site(new_file(), new_file(), url), Random(11), Counter[str]()  # noqa: S311
    workers = Workers(site, tmp_path, 2)
    with workers.running():
        await workers.have_written()
        for moment in range(MOMENTS):
            step, database = STEPS[moment % len(STEPS)], ("two", "one")[moment // len(STEPS) % 2]
            pause = random.uniform(0, 0.3) if moment >= len(STEPS) else 0.0
            killed[step] += await asyncio.to_thread(_killed, site, database, step, pause)
        await site.move(TENANT, "two")
        await workers.have_written()
    assert set(killed) == set(STEPS)
    assert sum(killed.values()) >= MOMENTS * 3 // 4
    await _check(site, workers, "two")


def _killed(site: Site, database: str, step: MoveStep, pause: float) -> bool:
    """Run a mover, and kill it soon after a step has begun; return whether it was running."""
    with _process("mover", site, database) as mover:
        assert mover.stdout is not None
        for line in mover.stdout:
            if line.strip() == step:
                break
        try:
            mover.wait(timeout=pause)
        except subprocess.TimeoutExpired:
            mover.kill()
        mover.stdout.read()
    return mover.returncode == -signal.SIGKILL
