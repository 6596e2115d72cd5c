"""Upgrades and downgrades, from code and with Alembic's own command in a checkout, leave no difference."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, MetaData, Table, inspect, text
from sqlalchemy.engine import Connection

from axon_storage import InvalidArgumentError, StorageConnectionError, create_engine, open_storage, schema
from axon_storage.dialects import dialect_of
from axon_storage.schema import operations
from axon_storage.schema.drift import differences
from axon_storage.schema.lock import MigrationTimeouts
from axon_storage.sql.tables import VERSION_TABLE, metadata
from axon_storage.sql.types import Identifier

LOCK_TABLE = "axon_storage_lock"  # created on Oracle

REVISIONS = [revision.number for revision in schema.history()]

CHECKOUT = Path(__file__).parents[2]


def _alembic(*arguments: str, url: str | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    if url is not None:
        environment["DATABASE_URL"] = url
    command = [sys.executable, "-m", "alembic", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


async def _tables(url: str) -> set[str]:
    def names(connection: Connection) -> set[str]:
        return set(inspect(connection).get_table_names())

    engine = create_engine(url)
    async with engine.connect() as connection:
        found = await connection.run_sync(names)
    await engine.dispose()
    return found


async def test_alembic_in_a_checkout_upgrades_checks_and_downgrades(url: str) -> None:
    _alembic("upgrade", "head", url=url)
    assert await _tables(url) - {LOCK_TABLE} == {*metadata.tables, VERSION_TABLE}
    assert "No new upgrade operations detected" in _alembic("check", url=url)
    _alembic("downgrade", "base", url=url)
    assert await _tables(url) - {LOCK_TABLE} == {VERSION_TABLE}
    _alembic("-x", f"url={url}", "upgrade", "head")
    assert f"{schema.head()} (head)" in _alembic("current", url=url)
    async with open_storage(url, migrate=False) as storage:
        assert await storage.is_healthy()


async def test_every_revision_can_be_upgraded_downgraded_and_upgraded_again(url: str) -> None:
    for revision, before in zip(REVISIONS, ["base", *REVISIONS], strict=False):
        await schema.upgrade(url, revision)
        assert await schema.current(url) == revision
        await schema.downgrade(url, before)
        assert await schema.current(url) == (None if before == "base" else before)
        await schema.upgrade(url, revision)
        assert await schema.current(url) == revision
    assert await schema.differences(url) == []
    for before in [*REVISIONS[-2::-1], "base"]:
        await schema.downgrade(url, before)
    assert await _tables(url) - {LOCK_TABLE} == set()
    await schema.downgrade(url, "base")
    assert await _tables(url) - {LOCK_TABLE} == set()


@pytest.mark.parametrize(
    ("start", "move", "end"),
    [("0002", "-1", "0001"), ("0002", "-2", None), (None, "+1", "0001"), ("0001", "-1", None)],
)
async def test_a_retried_step_migrates_by_one_revision_only(
    url: str, start: str | None, move: str, end: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if start is not None:
        await schema.upgrade(url, start)
    runs = 0
    step = command.upgrade if move == "+1" else command.downgrade

    def step_and_lose_the_answer(*arguments: Any, **options: Any) -> None:
        nonlocal runs
        runs += 1
        step(*arguments, **options)
        if runs == 1:
            raise StorageConnectionError("the answer was lost", transient=True)

    monkeypatch.setattr(command, step.__name__, step_and_lose_the_answer)
    change = schema.upgrade if move == "+1" else schema.downgrade
    await change(url, move, timeouts=MigrationTimeouts(lock=0.1))
    assert runs == 2
    assert await schema.current(url) == end


async def test_a_step_beyond_the_first_or_last_revision_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="downgrade: there is no revision -1 from base"):
        await schema.downgrade(url, "-1")
    await schema.upgrade(url)
    with pytest.raises(InvalidArgumentError, match=r"upgrade: there is no revision \+1 from \d+"):
        await schema.upgrade(url, "+1")


async def test_an_upgrade_of_an_unknown_schema_is_refused(url: str) -> None:
    await schema.upgrade(url)
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = 'f00d'"))
    await engine.dispose()
    with pytest.raises(
        StorageConnectionError, match="upgrade: the schema is at revision f00d, which this package does not"
    ):
        await schema.upgrade(url)
    with pytest.raises(StorageConnectionError, match="downgrade: the schema is at revision f00d"):
        await schema.downgrade(url, "base")


async def test_a_repeated_operation_does_nothing(url: str) -> None:
    def twice(connection: Connection) -> None:
        options = {"transactional_ddl": dialect_of(connection.dialect).upgrades_in_one_transaction}
        with Operations.context(MigrationContext.configure(connection, opts=options)):
            for _ in range(2):
                operations.add_column("daemons", Column("mood", Identifier(9), nullable=True))
                operations.create_index("ix_mood", "daemons", ["tenant_id", "mood"])
            assert differences(connection) != []
            for _ in range(2):
                operations.drop_index("ix_mood", table_name="daemons")
                operations.drop_column("daemons", "mood")
                operations.create_table("spare", Column("id", Identifier(9), primary_key=True))
            for _ in range(2):
                operations.drop_table("spare")
            connection.commit()

    await schema.upgrade(url)
    engine = create_engine(url)
    async with engine.connect() as connection:
        await connection.run_sync(twice)
    await engine.dispose()
    assert await schema.differences(url) == []


async def test_a_hosts_own_migrations_and_tables_are_not_affected(url: str) -> None:
    host = Table("sessions_of_the_host", MetaData(), Column("id", Identifier(9), primary_key=True))
    version = Table("alembic_version", MetaData(), Column("version_num", Identifier(32), primary_key=True))
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(host.create)
        await connection.run_sync(version.create)
        await connection.execute(version.insert(), {"version_num": "host"})
    await schema.upgrade(url)
    assert "No new upgrade operations detected" in _alembic("check", url=url)
    await schema.downgrade(url, "base")
    async with engine.connect() as connection:
        assert (await connection.execute(version.select())).scalars().all() == ["host"]
        assert (await connection.execute(host.select())).all() == []
    await engine.dispose()


async def test_a_hosts_table_with_the_name_of_one_of_ours_is_an_error(url: str) -> None:
    host = Table("sessions", MetaData(), Column("id", Identifier(9), primary_key=True))
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(host.create)
    await engine.dispose()
    with pytest.raises(StorageConnectionError, match="upgrade: a table sessions exists that does not belong"):
        await schema.upgrade(url)


async def test_an_unknown_revision_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^invalid argument: upgrade: there is no revision '9999': see"):
        await schema.upgrade(url, "9999")
    with pytest.raises(InvalidArgumentError, match=r"^invalid argument: stamp: there is no revision '9999': see"):
        await schema.stamp(url, "9999")


def test_without_a_url_the_command_says_what_is_missing() -> None:
    with pytest.raises(AssertionError, match="no database URL: set DATABASE_URL"):
        _alembic("current")
