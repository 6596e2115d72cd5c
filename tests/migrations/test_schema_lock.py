"""Only one process migrates at a time; it can be killed at any moment, and does not block a live server for long."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from axon_storage import StorageConnectionError, StorageError, create_engine, schema
from axon_storage.dialects import dialect_of
from axon_storage.schema import MigrationTimeouts
from axon_storage.schema.lock import process_identity

CHECKOUT = Path(__file__).parents[2]


def _upgrade_processes(*arguments: str) -> str:
    run = [sys.executable, "-m", "tests.migrations.upgrade_processes", *arguments]
    done = subprocess.run(run, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_of_eight_concurrent_upgrades_one_migrates_and_all_succeed(url: str) -> None:
    changes = sorted(json.loads(_upgrade_processes("concurrent", url)))
    assert changes[:-1] == [0] * (len(changes) - 1)
    assert changes[-1] >= 18  # eleven tables, five indexes, the version table and its rows
    assert await schema.differences(url) == []


@pytest.mark.not_on("oracle-double-23ai", "the statements are those of 12.1")
async def test_an_upgrade_killed_after_any_change_is_completed_by_the_next(url: str, target: str) -> None:
    # each kill takes seconds, so that only `make faults` kills after every change
    step = 1 if "AXON_FAULTS" in os.environ else 9 if target.startswith("oracle") else 6
    killed = int(_upgrade_processes("kill", url, str(step)))
    print(f"killed {killed} times, after every change, or every {step}")  # noqa: T201  # shown by -rP
    assert killed >= 18 // step
    assert await schema.current(url) == schema.head()  # the last one was not killed
    assert await schema.differences(url) == []


@pytest.mark.not_on("sqlite", "it does not know who holds its write lock")
async def test_an_upgrade_that_waits_too_long_names_the_holder_of_the_lock(url: str) -> None:
    await schema.upgrade(url)
    engine = create_engine(url)
    async with engine.connect() as connection:
        dialect = dialect_of(engine.dialect)
        assert await connection.run_sync(dialect.acquire_schema_lock)
        with pytest.raises(
            StorageConnectionError,
            match=r"downgrade: waited 0\.3 s for the schema lock, which another process holds: .{10,}",
        ) as late:
            await schema.downgrade(url, "base", timeouts=MigrationTimeouts(schema_lock=0.3))
        assert not late.value.transient
    await engine.dispose()
    await schema.downgrade(url, "base", timeouts=MigrationTimeouts(schema_lock=30))
    assert await schema.current(url) is None


@pytest.mark.fails_on("oracle-double", "its DDL does not wait for transactions")
async def test_a_change_of_a_busy_table_gives_up_its_lock_request_and_can_be_retried(url: str, target: str) -> None:
    await schema.upgrade(url)
    engine = create_engine(url)
    async with engine.connect() as busy:
        await busy.execute(text("DELETE FROM traces WHERE tenant_id = 'x'"))
        await busy.execute(text("SELECT count(*) FROM traces"))
        if target == "sqlite":
            await busy.execute(text("CREATE TABLE host (id INTEGER)"))  # takes the write lock
        with pytest.raises(StorageError) as met:
            await schema.downgrade(url, "0001", timeouts=MigrationTimeouts(lock=0.1))
        assert met.value.transient
        await busy.rollback()
    await engine.dispose()
    await schema.downgrade(url, "0001")
    assert await schema.current(url) == "0001"


async def test_an_index_built_online_waits_for_older_transactions(url: str, target: str) -> None:
    if target != "postgresql":
        pytest.skip("other databases wait for no older transaction of other tables")
    await schema.upgrade(url, "0001")
    engine = create_engine(url)
    async with engine.connect() as reader:
        await reader.execution_options(isolation_level="REPEATABLE READ")
        await reader.execute(text("SELECT count(*) FROM schedules"))
        upgrade = asyncio.create_task(schema.upgrade(url, timeouts=MigrationTimeouts(lock=0.1)))
        await asyncio.wait({upgrade}, timeout=2)
        assert not upgrade.done()
        await reader.rollback()
    await upgrade
    await engine.dispose()
    assert await schema.differences(url) == []


@pytest.mark.parametrize("seconds", [0, -1, 1e-9, float("inf"), float("nan")])
def test_a_timeout_must_be_positive_and_finite(seconds: float) -> None:
    with pytest.raises(ValueError, match="a timeout must be at least"):
        MigrationTimeouts(lock=seconds)


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert process_identity().startswith("user ")
