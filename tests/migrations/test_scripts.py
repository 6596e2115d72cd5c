"""The SQL scripts for a DBA are those in ``golden/``, so that no script changes unnoticed.

``AXON_TEST_GOLDEN=write`` writes those files.
"""

import asyncio
import os
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url

from axon_storage import InvalidArgumentError, StorageConnectionError, create_engine, schema
from axon_storage.schema.alembic_setup import alembic_config

GOLDEN = Path(__file__).parent / "golden"
SCHEMES = ["sqlite", "postgresql", "mysql", "mariadb", "oracle"]


def test_the_history_is_that_of_the_scripts() -> None:
    scripts = list(ScriptDirectory.from_config(alembic_config()).walk_revisions())
    assert list(schema.history()) == [(script.revision, script.doc) for script in reversed(scripts)]


async def test_a_storage_whose_schema_is_up_to_date_opens_without_alembic(url: str) -> None:
    await schema.upgrade(url)
    program = """
import asyncio, sys
from axon_storage import open_storage

async def main(url):
    async with open_storage(url, migrate=True):
        pass

asyncio.run(main(sys.argv[1]))
sys.exit("alembic" in sys.modules)
"""
    assert await (await asyncio.create_subprocess_exec(sys.executable, "-c", program, url)).wait() == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
def test_the_script_equals_the_golden_file(scheme: str, down: bool) -> None:
    written = schema.script(f"{scheme}://host/name", "head:base" if down else "base:head", down=down)
    golden = GOLDEN / f"{scheme}-{'down' if down else 'up'}.sql"
    if os.environ.get("AXON_TEST_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(written)
    assert written == golden.read_text()


@pytest.mark.not_on("oracle", "tests/oracle runs its script")
async def test_the_script_brings_a_database_up_and_down(url: str) -> None:
    scheme = make_url(url).drivername
    await _run(url, schema.script(f"{scheme}://host/name"))
    assert await schema.current(url) == schema.head()
    assert await schema.differences(url) == []
    await _run(url, schema.script(f"{scheme}://host/name", "head:base", down=True))
    assert await schema.current(url) is None


async def _run(url: str, script: str) -> None:
    """Send the statements one by one, as a database's own client does."""
    statements = re.sub(r"(?m)^(--|\\set|\.bail).*$", "", script)
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(str(make_url(url).database))) as connection:
            connection.executescript(statements)
        return
    engine = create_engine(url).execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as session:
        for statement in statements.split(";\n"):
            if statement.strip():
                await session.exec_driver_sql(statement)
    await engine.dispose()


@pytest.mark.parametrize(
    ("alias", "scheme"),
    [
        ("postgres", "postgresql"),
        ("postgresql+asyncpg", "postgresql"),
        ("mysql+asyncmy", "mysql"),
        ("mariadb+asyncmy", "mariadb"),
    ],
)
def test_every_scheme_of_a_database_gives_the_same_script(alias: str, scheme: str) -> None:
    assert schema.script(f"{alias}://user:secret@host/name") == schema.script(f"{scheme}://host/name")


def test_a_script_from_a_revision_has_only_what_comes_after() -> None:
    script = schema.script("postgresql://host/name", "0001:0002")
    assert "CREATE INDEX CONCURRENTLY ix_traces_flow" in script
    assert "CREATE TABLE" not in script


@pytest.mark.parametrize(
    ("revisions", "down"),
    [("0003:0001", False), ("0002:0002", False), ("head:0001", False), ("head:base", False), ("0001:0003", True),
     ("base:head", True), ("0002:0002", True)],
)  # fmt: skip
def test_a_script_that_would_be_empty_is_refused(revisions: str, down: bool) -> None:
    with pytest.raises(InvalidArgumentError, match=r"is no (up|down)grade: reverse it"):
        schema.script("sqlite://", revisions, down=down)


def test_an_unknown_scheme_or_revision_is_refused() -> None:
    with pytest.raises(StorageConnectionError, match="unknown scheme"):
        schema.script("mongodb://host/name")
    with pytest.raises(InvalidArgumentError, match=r"script: .*9999"):
        schema.script("sqlite://", "9999")
