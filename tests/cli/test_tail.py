"""``axon-storage tail``."""

import json
import os
import signal
import subprocess
import sys

from axon_storage import EventRow, SqlRepository
from axon_storage.testing.samples import sample
from tests.cli.conftest import Axon


async def test_the_last_events_are_shown_oldest_first(axon: Axon, repository: SqlRepository) -> None:
    for number in range(15):
        await repository.append_event(sample(EventRow, topic=f"t{number % 2}", source=f"{number}"))
    lines = [json.loads(line) for line in (await axon("tail", "--json")).stdout.splitlines()]
    assert [line["source"] for line in lines] == [f"{number}" for number in range(5, 15)]
    assert sorted(lines[0]) == ["id", "payload", "source", "tenant_id", "timestamp", "topic"]
    filtered = (await axon("tail", "--topic", "t1", "-n", "2", "--json")).stdout.splitlines()
    assert [json.loads(line)["source"] for line in filtered] == ["11", "13"]


async def test_no_events_are_reported(axon: Axon) -> None:
    shown = await axon("tail")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, "", "tenant 'default' has no such events\n")


async def test_following_shows_each_new_event_once_and_ends_with_ctrl_c(repository: SqlRepository, url: str) -> None:
    for number in range(3):
        await repository.append_event(sample(EventRow, source=f"{number}"))
    command = [sys.executable, "-m", "axon_storage", "tail", "-f", "-n", "2", "--poll", "0.1", "--json"]
    process = subprocess.Popen(  # noqa: ASYNC220  # a test may block
        command, env=os.environ | {"DATABASE_URL": url}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    shown = [json.loads(process.stdout.readline())["source"] for _ in range(2)]
    for number in range(3, 6):
        await repository.append_event(sample(EventRow, source=f"{number}"))
        shown.append(json.loads(process.stdout.readline())["source"])
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert shown == ["1", "2", "3", "4", "5"]
    assert (process.returncode, stdout, stderr) == (130, "", "interrupted\n")
