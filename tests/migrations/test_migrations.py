"""`alembic upgrade head` at a checkout, on every database: it comes up, goes down, and leaves no difference."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect
from sqlalchemy.engine import Connection

from axon_storage import create_engine, open_storage
from axon_storage.schema import head
from axon_storage.tables import VERSION_TABLE, metadata
from tests.databases import SERVERS, Databases

LOCK_TABLE = "axon_storage_lock"  # on Oracle

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(params=SERVERS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


async def test_up_check_down_and_up_again(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    _alembic("upgrade", "head", url=url)
    assert await _tables(url) - {LOCK_TABLE} == {*metadata.tables, VERSION_TABLE}
    assert "No new upgrade operations detected" in _alembic("check", url=url)
    _alembic("downgrade", "base", url=url)
    assert await _tables(url) - {LOCK_TABLE} == {VERSION_TABLE}
    _alembic("-x", f"url={url}", "upgrade", "head")
    assert f"{head()} (head)" in _alembic("current", url=url)
    async with open_storage(url, migrate=False) as storage:
        assert await storage.is_healthy()


@pytest.mark.parametrize("scheme", ["sqlite:///x.db", "postgresql://h/d", "mysql://h/d", "oracle://h/?service_name=d"])
def test_the_offline_script_has_every_table(scheme: str) -> None:
    script = _alembic("upgrade", "head", "--sql", url=scheme)
    for table in metadata.tables:
        assert f"CREATE TABLE {table} (" in script


def test_without_a_url_the_command_says_what_is_missing() -> None:
    with pytest.raises(AssertionError, match="which database"):
        _alembic("current")
