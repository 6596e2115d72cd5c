"""Ctrl-C and SIGTERM end a command after its cleanup."""

import os
import signal
import subprocess
import sys
import termios
import time
from array import array
from fcntl import ioctl
from pathlib import Path

import pytest

from axon_storage import EventRow, SqlRepository, open_storage
from axon_storage.testing.samples import sample

COMMAND = [sys.executable, "-m", "axon_storage"]
SIGNALS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]


def _start(url: str, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    pipe, environment = subprocess.PIPE, os.environ | {"DATABASE_URL": url}
    return subprocess.Popen([*COMMAND, *arguments], env=environment, stdin=stdin, stdout=pipe, stderr=pipe, text=True)


def _end(process: subprocess.Popen[str], sent: signal.Signals) -> tuple[int, str, str]:
    process.send_signal(sent)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


@pytest.mark.parametrize(("sent", "status", "message"), SIGNALS)
async def test_ctrl_c_ends_a_command_with_130_and_sigterm_with_143(
    url: str, repository: SqlRepository, sent: signal.Signals, status: int, message: str
) -> None:
    process = _start(url, "bench", "--seconds", "60")
    while not await repository.tenant_ids():
        assert process.poll() is None
        time.sleep(0.05)  # noqa: ASYNC251  # a test may block
    assert _end(process, sent) == (status, "", f"{message}: the rows were deleted\n")
    assert await repository.tenant_ids() == []


@pytest.mark.parametrize(("sent", "status", "message"), SIGNALS)
async def test_rows_that_an_interrupted_prune_has_deleted_stay_deleted(
    url: str, repository: SqlRepository, sent: signal.Signals, status: int, message: str
) -> None:
    await repository.save_many(sample(EventRow) for _ in range(1500))
    await SqlRepository(repository.engine, clock=lambda: 0).append_event(sample(EventRow))
    time.sleep(1)  # noqa: ASYNC251  # the shortest age
    process = _start(url, "prune", "--events", "1s", "--pause", "60")
    while len(await repository.query_events(None, 2000)) == 1501:
        assert process.poll() is None
        time.sleep(0.05)  # noqa: ASYNC251
    effect = "the rows that were deleted stay deleted; the next run continues"
    assert _end(process, sent) == (status, "", f"{message}: {effect}\n")
    assert len(await repository.query_events(None, 2000)) == 501


@pytest.mark.parametrize(("sent", "status", "message"), SIGNALS)
async def test_an_interrupted_copy_is_completed_by_the_next(
    url: str, repository: SqlRepository, tmp_path: Path, sent: signal.Signals, status: int, message: str
) -> None:
    await repository.save_many(sample(EventRow, payload="x" * 1_000) for _ in range(20_000))
    target = f"sqlite:///{tmp_path}/copied.db"
    async with open_storage(target) as storage:
        process = _start(url, "copy", url, target)
        while not await storage.tenant_ids():
            assert process.poll() is None
            time.sleep(0.01)  # noqa: ASYNC251
        ended, stdout, stderr = _end(process, sent)
        effect = "the rows that were copied or deleted stay so; run the command again to complete it"
        assert (ended, stdout, stderr) == (status, "", f"{message}: {effect}\n")
        again = _start(url, "copy", url, target, "--yes")
        assert again.communicate(timeout=60)[1] == "verified: every value is equal\n"


@pytest.mark.parametrize(("sent", "status", "message"), SIGNALS)
@pytest.mark.parametrize("parquet", [[], ["--parquet"]])
async def test_an_interrupted_export_leaves_no_file(
    url: str,
    repository: SqlRepository,
    tmp_path: Path,
    sent: signal.Signals,
    status: int,
    message: str,
    parquet: list[str],
) -> None:
    await repository.save_many(sample(EventRow, payload="x" * 1_000) for _ in range(20_000))
    process = _start(url, "export", f"{tmp_path}/out", *parquet)
    while not os.listdir(tmp_path):  # noqa: PTH208  # Path.iterdir is refused too
        assert process.poll() is None
        time.sleep(0.01)  # noqa: ASYNC251
    assert _end(process, sent) == (status, "", f"{message}: no file was written\n")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize(("sent", "status", "message"), SIGNALS)
async def test_a_command_that_waits_for_the_other_side_of_a_pipe_can_be_ended(
    url: str, repository: SqlRepository, sent: signal.Signals, status: int, message: str
) -> None:
    reading = _start(url, "import", "-", "--yes", stdin=subprocess.PIPE)
    assert reading.stdin is not None
    reading.stdin.write("{")
    reading.stdin.flush()
    while array("i", ioctl(reading.stdin, termios.FIONREAD, bytes(4)))[0]:  # until it has read that, and waits for more
        assert reading.poll() is None
        time.sleep(0.05)  # noqa: ASYNC251
    reading.send_signal(sent)
    assert reading.wait(60) == status
    assert reading.communicate()[1].startswith(f"{message}: the rows that were stored stay")
    await repository.save_many(sample(EventRow, payload="x" * 1_000) for _ in range(1_000))
    writing = _start(url, "export", "-")
    assert writing.stdout is not None
    assert writing.stdout.read(1) == "{"
    time.sleep(1)  # noqa: ASYNC251  # until the pipe is full
    writing.send_signal(sent)
    assert writing.wait(60) == status
    assert writing.communicate()[1] == f"{message}: the rows are not complete\n"


@pytest.mark.parametrize(("sent", "status", "message"), SIGNALS)
async def test_following_events_ends_with_the_status_of_the_signal(
    url: str, repository: SqlRepository, sent: signal.Signals, status: int, message: str
) -> None:
    await repository.append_event(sample(EventRow))
    process = _start(url, "tail", "-f")
    assert process.stdout is not None
    assert "name" in process.stdout.readline()
    assert _end(process, sent) == (status, "", f"{message}\n")


async def test_ctrl_c_at_a_question_does_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agents.db"
    async with open_storage(url) as storage:
        await storage.append_event(sample(EventRow))
    for arguments in (["tenants", "erase", "default"], ["migrate", "downgrade", "base"]):
        keyboard, terminal = os.openpty()
        try:
            process = _start(url, *arguments, stdin=terminal)
            assert process.stderr is not None
            while not process.stderr.read(1).endswith((":", "?")):  # the question
                pass
            time.sleep(0.5)  # noqa: ASYNC251  # until the process reads the answer
            status, stdout, stderr = _end(process, signal.SIGINT)
        finally:
            os.close(keyboard)
            os.close(terminal)
        assert (status, stdout.strip()) == (130, "")
        assert stderr.endswith("interrupted: nothing was done\n")
    async with open_storage(url, migrate=False) as storage:
        assert len(await storage.query_events(None, 10)) == 1
