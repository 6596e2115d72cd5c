"""``follow_events`` beside writers of two processes whose events are committed out of the order of their ids."""

import asyncio
import os
import random
import sys
from collections import Counter
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from axon_storage import EventRow, SqlRepository
from axon_storage.engine.executor import Executor
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import storage_with
from tests.conformance.stalling_writers import write
from tests.doses import EVERYTHING

CHECKOUT = Path(__file__).parents[2]
ROUNDS, LONGEST, POLL, SEED = 12 if EVERYTHING else 3, 0.3, 0.02, 20_261_126


async def write_in_another_process(url: str, rounds: int, longest: float) -> set[str]:
    """Run a writer in a process of its own."""
    arguments = [url, "child", str(rounds), str(SEED), str(longest), str(Executor.append_horizon)]
    program = [sys.executable, "-m", "tests.conformance.stalling_writers", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*program, cwd=CHECKOUT, env=environment, stdout=pipe)
    output, _ = await child.communicate()
    assert child.returncode == 0
    return set(output.decode().splitlines())


async def write_everywhere(url: str, repository: SqlRepository, rounds: int, longest: float) -> set[str]:
    """Run two writers here and one in another process; return the sources of the events whose calls succeeded."""
    async with storage_with(url, group_commit=False) as other:
        stored = await asyncio.gather(
            write(repository, "here", rounds, SEED, longest),
            write(other, "other", rounds, SEED + 1, longest),
            write_in_another_process(url, rounds, longest),
        )
    assert all(stored)
    return set[str]().union(*stored)


@pytest.mark.parametrize("short", [False, True], ids=["default horizons", "short horizons"])
async def test_each_event_of_writers_that_stall_is_given_once(
    url: str, repository: SqlRepository, short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds, longest = ROUNDS, LONGEST
    if short:  # some transactions are refused, and ids are forgotten during the test
        monkeypatch.setattr(Executor, "append_horizon", 0.5)
        monkeypatch.setattr(repository, "follow_horizon", 3.0)
        rounds, longest = ROUNDS * 2 // 3, 1.0
    given: list[str] = []

    async def read() -> None:
        async with aclosing(repository.follow_events(poll=POLL)) as events:
            async for recorded in events:
                given.append(recorded.row.source)  # noqa: PERF401  # read while the iteration goes on

    reader = asyncio.create_task(read())
    await asyncio.sleep(10 * POLL)
    stored = await write_everywhere(url, repository, rounds, longest)
    found = [row.source for row in await repository.query_events(None, 10**6)]
    assert stored <= set(found)
    while len(given) < len(found):  # noqa: ASYNC110  # another task fills the list
        await asyncio.sleep(POLL)
    await asyncio.sleep(10 * POLL)
    reader.cancel()
    with suppress(asyncio.CancelledError):
        await reader
    assert Counter(given) == Counter(found)


async def test_a_reader_that_is_restarted_misses_no_event(url: str, repository: SqlRepository) -> None:
    dice, given = random.Random(SEED), set[str]()  # noqa: S311  # repeatable
    first = await repository.append_event(sample(EventRow, source="first"))

    async def read() -> None:
        last = first
        while True:
            count = dice.randrange(1, 20)
            async with aclosing(repository.follow_events(after=last, poll=POLL)) as events:
                async for recorded in events:
                    count -= recorded.row.source not in given
                    given.add(recorded.row.source)
                    last = max(last, recorded.id)
                    if not count:
                        break

    reader = asyncio.create_task(read())
    stored = await write_everywhere(url, repository, ROUNDS, LONGEST)
    while not stored <= given:  # noqa: ASYNC110  # another task fills the set
        await asyncio.sleep(POLL)
    reader.cancel()
    with suppress(asyncio.CancelledError):
        await reader
    assert given - {"first"} == stored
