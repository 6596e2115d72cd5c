"""A disk that fills up under load: no acknowledged row is lost, and writes succeed again when there is space."""

import asyncio
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest

from axon_storage import EventRow, StorageBackend, StorageError, new_id, open_storage
from axon_storage.testing.samples import sample
from tests.faults.private import KINDS, disk, server
from tests.servers.process import Process

pytestmark = pytest.mark.timeout(120)

MEBIBYTES = {"sqlite": 8, "postgresql": 160, "mariadb": 220, "mysql": 320}
SETTINGS = {
    "postgresql": "max_wal_size = 48MB\nmin_wal_size = 32MB\n",
    "mariadb": "innodb-log-file-size = 8M\n",
    "mysql": "innodb-redo-log-capacity = 16M\n",
}
SAYS_FULL = re.compile(r"\[(13|53100|1114|1021|3)\]")
FREE_BYTES = 6 * 2**20
"""Free space when the load begins."""
TEXT = os.urandom(25_000).hex()  # random, so that it does not compress well


@pytest.fixture(params=["sqlite", *KINDS])
def small(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path, str, Process | None]]:
    """A database on a disk of its own: its kind, the disk, its URL, and the server if it has one."""
    kind = request.param
    with ExitStack() as stack:
        place = stack.enter_context(disk(MEBIBYTES[kind]))
        if kind == "sqlite":
            yield kind, place, f"sqlite:///{place}/agents.db", None
        else:
            process, url = stack.enter_context(server(kind, SETTINGS[kind], place))
            yield kind, place, url, process


async def test_a_full_disk_loses_nothing_acknowledged(small: tuple[str, Path, str, Process | None]) -> None:
    kind, place, url, process = small
    acknowledged: set[UUID] = set()
    errors: list[StorageError] = []

    async def load(storage: StorageBackend) -> None:
        while not errors:
            row_id = new_id()
            try:
                await storage.append_event(sample(EventRow, source=str(row_id), topic="load", payload=TEXT), id=row_id)
            except StorageError as error:
                errors.append(error)
            else:
                acknowledged.add(row_id)

    async with open_storage(url, migrate=True, retry_attempts=2, operation_timeout=20) as storage:
        ballast = place / "ballast"
        free = os.statvfs(place)
        ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_bsize - FREE_BYTES)))
        await asyncio.gather(*(load(storage) for _ in range(4)))
        ballast.unlink()
        ended = process is not None and process.popen.poll() is not None  # without space a server may stop
        if process is not None and ended:
            await asyncio.to_thread(process.restart)
    async with open_storage(url, migrate=False, retry_attempts=100, retry_deadline=60) as storage:
        await storage.append_event(sample(EventRow))  # there is space again
        stored = Counter(UUID(event.source) for event in await storage.query_events("load", 10**6))
    lost, duplicated = acknowledged - set(stored), [row_id for row_id, count in stored.items() if count > 1]
    print(f"{kind}: {len(acknowledged)} acknowledged, lost {len(lost)}, duplicated {len(duplicated)}, {errors[0]!r}")  # noqa: T201  # shown with -rP
    assert SAYS_FULL.search(str(errors[0])) or ended
    assert (lost, duplicated) == (set(), [])
    assert acknowledged
