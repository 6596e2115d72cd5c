"""A copy, an import or an export is killed at random moments, and run again."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from axon_storage import EventRow, SqlRepository, TraceRow
from axon_storage.testing.samples import sample
from axon_storage.transfer import copy, export, import_, verify

CHECKOUT = Path(__file__).parents[2]
MOMENTS, MANY = (20, 8_000) if "AXON_FAULTS" in os.environ else (2, 3_000)

_CHILD = """
import asyncio, sys
from axon_storage import transfer

def show(progress):
    print(progress.table, progress.rows, flush=True)

asyncio.run(getattr(transfer, sys.argv[1])(*sys.argv[2:], progress=show))
"""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
async def large(filled: SqlRepository) -> SqlRepository:
    """The database with difficult values, and many more traces and events."""
    await filled.save_many(sample(TraceRow, trace_id=number + 10**6) for number in range(MANY))
    await filled.save_many(sample(EventRow, payload=number) for number in range(MANY))
    return filled


def _url(repository: SqlRepository) -> str:
    return repository.engine.url.render_as_string(hide_password=False)


def _killed(moment: int, random: Random, *arguments: str) -> bool:
    """Kill a process with a transfer soon after its page of that number; return whether it was running."""
    child = subprocess.Popen([sys.executable, "-c", _CHILD, *arguments], cwd=CHECKOUT, stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child:
        for _ in range(moment):
            child.stdout.readline()
        try:
            child.wait(timeout=random.uniform(0.0, 0.02))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.stdout.read()
    return child.returncode == -signal.SIGKILL


@pytest.mark.not_on("oracle", "the double is too slow for this many rows")
async def test_a_copy_that_is_killed_at_any_moment_is_completed_by_the_next(
    large: SqlRepository, repository: SqlRepository
) -> None:
    random, killed = Random(7), 0  # noqa: S311  # not used for security
    pages: list[object] = []
    expected = await copy(large, repository, progress=pages.append)
    async with repository.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM traces")
        await connection.exec_driver_sql("DELETE FROM event_history")
    for number in range(MOMENTS):
        moment = number * len(pages) // MOMENTS + random.randrange(len(pages) // MOMENTS)
        killed += await asyncio.to_thread(_killed, moment, random, "copy", _url(large), _url(repository))
        result = await verify(large, repository)
        assert {each.reason for each in result.first_differences} <= {"missing in target"}
    assert killed >= MOMENTS - 1
    assert await copy(large, repository) == expected
    assert (await verify(large, repository)).is_equal


@pytest.mark.not_on("oracle", "the double is too slow for this many rows")
async def test_an_import_that_is_killed_is_completed_by_the_next(
    large: SqlRepository, repository: SqlRepository, tmp_path: Path
) -> None:
    random, file = Random(8), tmp_path / "rows.jsonl"  # noqa: S311  # not used for security
    pages: list[object] = []
    await export(large, file, progress=pages.append)
    for _ in range(max(1, MOMENTS // 3)):
        moment = random.randrange(1, len(pages) * 3 // 4)
        assert await asyncio.to_thread(_killed, moment, random, "import_", _url(repository), str(file))
        assert not (await verify(large, repository)).is_equal
    await import_(repository, file)
    assert (await verify(large, repository)).is_equal


async def test_an_export_that_is_killed_leaves_no_file_with_the_name(large: SqlRepository, tmp_path: Path) -> None:
    random, file = Random(9), tmp_path / "rows.jsonl"  # noqa: S311  # not used for security
    pages: list[object] = []
    await export(large, tmp_path / "whole.jsonl", progress=pages.append)
    assert await asyncio.to_thread(_killed, len(pages) // 2, random, "export", _url(large), str(file))
    assert not await asyncio.to_thread(file.exists)
