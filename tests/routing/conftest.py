"""A router over a SQLite file and another database, with its catalogue in a file of its own."""

from collections.abc import AsyncIterator, Callable, Iterator
from zlib import crc32

import pytest

from axon_storage.routing import TenantRouter
from axon_storage.testing.ephemeral import EphemeralDatabases, open_databases
from tests.doses import EVERYTHING
from tests.routing.sites import Site

NewFile = Callable[[], str]
"""Returns the URL of a new SQLite file with the newest schema."""

DEAD = "postgresql://ada@127.0.0.1:1/agents"
"""The URL of a server that is down."""

MISSING = "sqlite:///missing/folder/agents.db"
"""The URL of a file that cannot be opened."""


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EphemeralDatabases]:
    with open_databases(None, tmp_path_factory) as opened:
        yield opened


@pytest.fixture
def new_file(files: EphemeralDatabases) -> Iterator[NewFile]:
    made: list[str] = []

    def create() -> str:
        made.append(files.create())
        return made[-1]

    yield create
    for url in made:
        files.release(url)


@pytest.fixture(params=["sqlite", "postgresql", *(["mariadb", "mysql"] if EVERYTHING else [])])
def target(request: pytest.FixtureRequest) -> str:
    """The kind of the second database."""
    return str(request.param)


@pytest.fixture
def site(new_file: NewFile) -> Site:
    return Site(new_file(), new_file(), new_file())


def place(tenant: str) -> str:
    """Place the tenants ``default``, ``a`` and ``b`` in the second database, and about half of the others."""
    return "second" if crc32(tenant.encode()) % 2 else "first"


@pytest.fixture
async def storage(new_file: NewFile, url: str) -> AsyncIterator[TenantRouter]:
    """The storage under test of the conformance suite."""
    databases = {"first": new_file(), "second": url}
    async with TenantRouter(new_file(), databases, place=place, migrate=False, max_overflow=30) as router:
        yield router


@pytest.fixture
async def pair(new_file: NewFile) -> AsyncIterator[TenantRouter]:
    """A router over two files, in which the first letter of a tenant names the database."""
    databases = {"a": new_file(), "b": new_file()}
    async with TenantRouter(new_file(), databases, place=lambda tenant: tenant[0], migrate=False) as router:
        yield router
