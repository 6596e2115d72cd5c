"""During a rolling deployment, servers of the previous release work on the new schema, beside those of this release."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from axon_storage import (
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    TraceRow,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.testing.samples import sample
from tests.databases import SERVERS, Databases, skip_without
from tests.rolling.previous import REVISION, NoHistoryError, environment, extract
from tests.servers import Servers

FULL = bool(os.environ.get("AXON_ROLLING"))
"""Whether to run the whole conformance suite of the previous release, as `make rolling` does."""

DOSE = ["test_saves.py"]
NOT_ON_A_NEWER_SCHEMA = [
    "--ignore=tests/conformance/test_schema_state.py",  # its tests are about the states of the schema
    # compares the schema with its own, and finds the new columns
    "--deselect=tests/conformance/test_opening.py::test_mysql_and_mariadb_urls_work_with_either_server",
    # inserts a row without naming the columns
    "--deselect=tests/conformance/test_short_path.py::test_the_next_user_of_the_connection_has_its_transaction",
]

WITHOUT_PLUGIN = ("-p", "no:axon_storage.testing.plugin")
"""The installed package has an entry point for this plugin, and the previous release has no such module."""

pytestmark = pytest.mark.timeout(3600 if FULL else 300)


@pytest.fixture(params=SERVERS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the previous release."""
    try:
        return extract(tmp_path_factory.mktemp("previous") / "sources")
    except (NoHistoryError, OSError) as error:
        skip_without("previous release", f"the history of the repository is not here: {error}")


async def _run(sources: Path, *arguments: str, **variables: str) -> str:
    """Run Python with the previous release, and return its output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=sources,
        env=environment(sources, **variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-5000:]
    return output.decode()


async def test_the_previous_release_passes_its_conformance_suite_on_the_new_schema(
    sources: Path, servers: Servers, databases: Databases, target: str
) -> None:
    await databases.ready(target)  # skips if the server is missing
    given = (
        {} if target == "sqlite" else {f"AXON_TEST_{re.sub('[^A-Z0-9]', '_', target.upper())}_URL": servers.url(target)}
    )
    suite = [f"tests/conformance/{name}" for name in DOSE]
    if FULL:
        suite = ["tests/conformance", *NOT_ON_A_NEWER_SCHEMA]
    options = ("-p", "newer_schema", "-p", "no:cacheprovider", *WITHOUT_PLUGIN, "-q", "-k", f"{target} and not asyncmy")
    output = await _run(sources, "-m", "pytest", *options, *suite, **given)
    passed = re.search(r"(\d+) passed", output)
    assert passed, output[-5000:]
    assert int(passed[1]) > 10


OLD_SERVER = """
import asyncio, os, sys
from axon_storage import SessionRow, open_storage, schema

async def main():
    assert schema.head() == "REVISION"
    async with open_storage(os.environ["URL"], migrate=False, allow_ahead=True) as storage:
        assert await storage.is_healthy()
        kept = await storage.get_session("chat", "new")
        assert kept is not None and kept.value == "of the new release", kept
        for key in ("new", "old"):
            await storage.save_session(SessionRow(
                tenant_id="default", scope="chat", key=key, value="of the old release", source_step="x"))

asyncio.run(main())
"""


async def test_both_releases_read_and_replace_each_others_rows(
    sources: Path, databases: Databases, target: str
) -> None:
    url, engine = await databases.ready(target)
    storage = SqlRepository(engine)
    await storage.save_session(_entry("new", "of the new release"))
    await _run(sources, "-c", OLD_SERVER.replace("REVISION", REVISION), URL=url)
    assert [entry.value for entry in await storage.load_sessions("chat")] == ["of the old release"] * 2
    await storage.save_session(_entry("old", "of the new release again"))
    assert [entry.value for entry in await storage.load_sessions("chat")] == [
        "of the old release",
        "of the new release again",
    ]


def _entry(key: str, value: str) -> SessionRow:
    return SessionRow(tenant_id="default", scope="chat", key=key, value=value, source_step="x")


async def test_this_release_refuses_the_previous_schema_until_it_is_upgraded(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    await schema.upgrade(url, REVISION)
    storage = SqlRepository(create_engine(url))
    assert not await storage.is_healthy()
    with pytest.raises(StorageConnectionError, match=rf"{REVISION}.*{schema.head()}.*migrate upgrade"):
        async with open_storage(url, migrate=False):
            pass
    await schema.upgrade(url)
    assert await storage.is_healthy()
    await storage.save_trace(sample(TraceRow))
    await storage.close()
