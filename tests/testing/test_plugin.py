"""The pytest plugin: ephemeral storages, and limitations of backends."""

import os
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from axon_storage import create_engine
from tests.databases import skip_without
from tests.servers import Servers, UnavailableError
from tests.testing.conftest import Project

EACH_IS_EMPTY = """
import pytest
from axon_storage import SessionRow, open_storage

@pytest.mark.asyncio
@pytest.mark.parametrize("number", range(4))
async def test_empty(ephemeral_storage, number):
    assert await ephemeral_storage.is_healthy()
    for tenant in ("default", "other"):
        view = ephemeral_storage.for_tenant(tenant)
        assert await view.load_sessions("s") == []
        await view.save_session(SessionRow(scope="s", key="k", value="v", source_step=""))
        await view.erase_tenant()
        await view.save_session(SessionRow(scope="s", key="k", value="v", source_step=""))

@pytest.mark.asyncio
@pytest.mark.parametrize("number", range(2))
async def test_url(ephemeral_url, number):
    async with open_storage(ephemeral_url, migrate=False) as storage:
        assert await storage.tenant_ids() == []
        await storage.save_session(SessionRow(scope="s", key="k", value="v", source_step=""))
"""


@pytest.fixture
def server(servers: Servers) -> str:
    """The URL of a PostgreSQL server."""
    try:
        return servers.url("postgresql")
    except UnavailableError as error:
        skip_without("postgresql", str(error))


async def databases_of(server: str) -> set[str]:
    engine = create_engine(server)
    async with engine.connect() as connection:
        found = set((await connection.execute(text("SELECT datname FROM pg_database"))).scalars().all())
    await engine.dispose()
    return found


async def execute(server: str, statement: str) -> None:
    engine = create_engine(server)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_each_test_has_an_empty_sqlite_file(project: Project, mode: str) -> None:
    outcomes, output = project(mode=mode, test_own=EACH_IS_EMPTY)
    assert outcomes == {"passed": 6}, output


async def test_each_test_has_an_empty_database_of_a_server(project: Project, server: str) -> None:
    before = await databases_of(server)
    outcomes, output = project(f"--axon-storage-url={server}", test_own=EACH_IS_EMPTY)
    assert outcomes == {"passed": 6}, output
    assert await databases_of(server) == before


SPOILED = '''
import pytest
from sqlalchemy import text
from axon_storage import SessionRow, create_engine

READ_ONLY = """DO $$ BEGIN
EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database());
END $$"""

@pytest.mark.asyncio
@pytest.mark.parametrize("statement", [
    "DROP TABLE sessions",
    "ALTER TABLE sessions DROP COLUMN value",
    "CREATE SCHEMA left_over",
    "CREATE SCHEMA left_over",  # fails if it exists
    READ_ONLY,
    "SELECT 1",
])
async def test_spoil(ephemeral_url, ephemeral_storage, statement):
    await ephemeral_storage.save_session(SessionRow(scope="s", key="k", value="v", source_step=""))
    connection = await create_engine(ephemeral_url).connect()  # stays open, in a transaction
    await connection.execute(text("LOCK TABLE sessions"))
    await connection.execute(text(statement))
    if statement != "SELECT 1":
        await connection.commit()
    LEFT_OPEN.append(connection)

@pytest.mark.asyncio
async def test_next(ephemeral_storage):
    assert await ephemeral_storage.load_sessions("s") == []

LEFT_OPEN = []
'''


async def test_a_test_that_changes_the_database_or_leaves_a_connection_open_does_not_affect_the_next(
    project: Project, server: str
) -> None:
    before = await databases_of(server)
    outcomes, output = project("-p", "no:randomly", "-W", "ignore", f"--axon-storage-url={server}", test_own=SPOILED)
    assert outcomes == {"passed": 7}, output
    assert await databases_of(server) == before


REFUSED = """
import pytest
from sqlalchemy import text
from axon_storage import create_engine

async def execute(url, statement):
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()

@pytest.mark.asyncio
async def test_refuse(ephemeral_url):
    await execute(ephemeral_url, "DROP TABLE sessions")  # so the next test needs another copy
    await execute({server!r}, "ALTER ROLE {role} CONNECTION LIMIT 1")  # the plugin has this connection

@pytest.mark.asyncio
async def test_next(ephemeral_url): pass
"""


async def test_a_copy_to_which_the_server_refuses_a_connection_is_dropped(project: Project, server: str) -> None:
    before, role = await databases_of(server), f"axon_{uuid4().hex}"
    await execute(server, f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD '{role}'")
    url = make_url(server).set(username=role, password=role).render_as_string(hide_password=False)
    own = REFUSED.format(server=server, role=role)
    outcomes, output = project("-p", "no:randomly", f"--axon-storage-url={url}", test_own=own)
    assert outcomes == {"passed": 1, "error": 1}, output
    assert "too many connections for role" in output
    assert await databases_of(server) == before
    await execute(server, f"DROP ROLE {role}")


def test_the_server_can_be_given_in_the_environment(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "AXON_STORAGE_TEST_URL", "mysql://user:secret@127.0.0.1:1/name")
    outcomes, output = project(test_own=EACH_IS_EMPTY)
    assert outcomes == {"errors": 6}, output
    assert "ephemeral databases are SQLite files, or databases on a PostgreSQL server" in output
    assert "secret" not in output


def test_without_pytest_asyncio_the_fixture_says_what_to_install(project: Project) -> None:
    outcomes, output = project(missing="pytest_asyncio", test_own="def test_own(ephemeral_storage): pass\n")
    assert outcomes == {"error": 1}, output
    assert 'ephemeral_storage needs pytest-asyncio: pip install "axon-storage[testing]"' in output


LIMITED = """
import pytest

def test_right(): pass
def test_wrong(): assert False
@pytest.mark.parametrize("number", [1, 2])
def test_one(number): assert number == 1

pytestmark = {marks}
"""


def limited(project: Project, *marks: str) -> tuple[dict[str, int], str]:
    return project(test_own=LIMITED.format(marks=f"[{', '.join(f'pytest.mark.limitation({mark})' for mark in marks)}]"))


def test_a_limitation_is_an_expected_failure_with_its_reason(project: Project) -> None:
    outcomes, output = limited(project, "'test_wrong', reason='it cannot'", "'test_one[2]', 'only one'")
    assert outcomes == {"passed": 2, "xfailed": 2}
    assert "XFAIL test_own.py::test_wrong - it cannot" in output
    assert "XFAIL test_own.py::test_one[2] - only one" in output


def test_a_limitation_that_does_not_fail_is_a_failure(project: Project) -> None:
    outcomes, output = limited(project, "'test_right', reason='it cannot'")
    assert outcomes["failed"] == 3
    assert "[XPASS(strict)] it cannot" in output


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("'test_rigth', reason='it cannot'", "limitation: the module has no test 'test_rigth'"),
        ("'test_right'", "limitation: give the reason why test_right fails"),
        ("", "limitation: the module has no test ''"),
    ],
)
def test_a_limitation_without_a_test_or_reason_is_an_error(project: Project, mark: str, message: str) -> None:
    outcomes, output = limited(project, mark)
    assert not outcomes
    assert message in output
