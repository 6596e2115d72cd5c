"""The exit statuses of all commands: no command reports success if it did nothing."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from axon_storage import EventRow, SqlRepository, schema
from axon_storage.testing.samples import sample
from tests.cli.conftest import Axon

READING = [["stats"], ["tenants", "list"], ["show", "events"], ["traces"], ["costs"], ["tail"], ["bench"]]
CHECKING = [["doctor"], ["audit", "verify"]]
WRITING = [["prune", "--events", "1d"], ["tenants", "erase", "acme", "--yes"], ["audit", "seal"]]
FILES = [["export", "new.jsonl"], ["backup", "new.db"]]


@pytest.mark.parametrize("arguments", [*READING, *WRITING, *FILES, *CHECKING], ids=" ".join)
async def test_a_database_file_that_does_not_exist_is_an_error_and_is_not_made(
    axon: Axon, arguments: list[str], tmp_path: Path
) -> None:
    refused = await axon(*arguments, url=f"sqlite:///{tmp_path}/missing.db")
    assert refused.exit_code == 1
    assert f"there is no file {tmp_path}/missing.db" in refused.output
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240  # a test may block


@pytest.mark.parametrize("arguments", [*READING, *WRITING, *FILES, *CHECKING], ids=" ".join)
async def test_a_url_without_a_database_is_wrong_usage(axon: Axon, arguments: list[str]) -> None:
    assert (await axon(*arguments, url="memory://")).exit_code == 2
    assert (await axon(*arguments, url="")).exit_code == 2


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense secret", "the database URL cannot be parsed"),
        ("postgresql://ada:secret@host:port/agents", "the database URL cannot be parsed"),
        ("postgresql://ada:sec@ret@host/agents", "an '@' in the database URL is not escaped"),
        ("mongodb://ada:secret@host/agents", "unknown scheme 'mongodb'"),
        ("mysql://ada:secret@host", "the URL names no database"),
        ("sqlite:///:memory:", ":memory: is refused"),
        ("", "this URL names no database"),
    ],
)
async def test_a_wrong_url_is_wrong_usage_and_the_form_is_named(axon: Axon, url: str, reason: str) -> None:
    for arguments in [*READING, *WRITING, *FILES, *CHECKING, ["migrate", "current"], ["migrate", "upgrade"]]:
        refused = await axon(*arguments, "--url", url)
        assert refused.exit_code == 2, arguments
        assert reason in refused.stderr
        assert "scheme://user:password@host/name" in refused.stderr
        assert "secret" not in refused.output


@pytest.mark.parametrize("arguments", [*READING, *WRITING, *CHECKING], ids=" ".join)
async def test_an_unreachable_server_is_a_failure_without_the_password(axon: Axon, arguments: list[str]) -> None:
    refused = await axon(*arguments, url="postgresql://ada:secret@127.0.0.1:1/agents")
    assert refused.exit_code == 1
    assert "secret" not in refused.output


async def test_a_file_that_cannot_be_written_is_named(axon: Axon, tmp_path: Path) -> None:
    await schema.upgrade(f"sqlite:///{tmp_path}/agents.db")
    url = f"sqlite:///file:{tmp_path}/agents.db?mode=ro&uri=true"
    assert (await axon("stats", url=url)).exit_code == 0
    for arguments in (*WRITING, ["bench"], ["migrate", "upgrade"], ["migrate", "downgrade", "-1", "--yes"]):
        refused = await axon(*arguments, url=url)
        assert refused.exit_code == 1
        assert refused.stderr.startswith(f"{tmp_path}/agents.db cannot be written: change the permissions of the file")
    failed = await axon("doctor", url=url)
    assert "attempt to write a readonly database: the folder must exist, and this account" in failed.stdout


async def test_a_schema_of_another_revision_is_a_failure(axon: Axon, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    await schema.upgrade(url, "0003")
    for arguments in [*READING, *WRITING, *CHECKING]:
        refused = await axon(*arguments, url=url)
        assert refused.exit_code == 1
        assert "migrate upgrade" in refused.output
    assert await schema.current(url) == "0003"


async def test_erasing_a_tenant_without_rows_is_status_3(axon: Axon) -> None:
    refused = await axon("tenants", "erase", "acme", "--yes")
    assert (refused.exit_code, refused.stderr) == (3, "tenant 'acme' has no rows\n")


async def test_doctor_exits_with_0_on_a_sound_database(axon: Axon) -> None:
    sound = await axon("doctor")
    assert (sound.exit_code, sound.stderr) == (0, "0 failed, 0 warnings, 0 unknown\n")
    assert "ok      schema: revision" in sound.stdout


async def test_doctor_exits_with_0_if_there_are_only_warnings(axon: Axon, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agents.db"
    await schema.upgrade(url)
    with closing(sqlite3.connect(tmp_path / "agents.db")) as connection:
        connection.execute("DROP INDEX ix_traces_flow")
    warned = await axon("doctor", url=url)
    assert (warned.exit_code, warned.stderr) == (0, "0 failed, 1 warnings, 0 unknown\n")
    assert "warn    tables: traces, index ix_traces_flow: missing" in warned.stdout


@pytest.mark.parametrize("target", ["postgresql"])  # its fsync is off in the tests
async def test_a_warning_is_shown_once_if_a_command_opens_a_database_twice(url: str, repository: SqlRepository) -> None:
    await repository.for_tenant("acme").append_event(sample(EventRow, "acme"))
    command = [sys.executable, "-m", "axon_storage", "tenants", "erase", "acme", "--yes", "--url", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: ASYNC221  # a test may block
    assert "PostgreSQL's fsync is off" in done.stderr
    assert len(done.stderr.splitlines()) == len(set(done.stderr.splitlines()))


async def test_bench_prints_rates_and_deletes_its_rows(axon: Axon) -> None:
    done = await axon("bench", "--seconds", "0.1", "--tasks", "4")
    assert (done.exit_code, done.stderr) == (0, "the rows were deleted\n")
    assert [line.split()[:2] for line in done.stdout.splitlines()[2:]] == [
        [name, tasks] for name in ("append", "save", "read") for tasks in ("1", "4")
    ]
    assert (await axon("tenants", "list")).stdout == ""
