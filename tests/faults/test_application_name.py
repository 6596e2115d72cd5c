"""The application name that a server shows for a storage's connections, and PostgreSQL's search path."""

from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from axon_storage import SqlRepository, TraceRow, create_engine, open_storage
from axon_storage.dialects import of_scheme
from axon_storage.testing.samples import sample
from tests.databases import Databases
from tests.faults.private import server

SHOWN = {
    "postgresql": "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()",
    "mysql": "SELECT max(attr_value) FROM performance_schema.session_connect_attrs "
    "WHERE attr_name = 'program_name' AND processlist_id = connection_id()",
    "oracle": "SELECT program FROM v$session WHERE sid = sys_context('USERENV', 'SID')",
}
"""A query for the application name of the current connection, for each kind of server."""

PARAMETER = {"postgresql": "application_name", "mysql": "program_name", "oracle": "program"}
"""The driver's name for the parameter."""

TARGETS = ["postgresql", "mysql", "mysql+asyncmy", "mariadb", "mariadb+asyncmy", "oracle-double-23ai"]


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def private(target: str) -> Iterator[str]:
    """The URL of a MySQL or MariaDB server with a performance schema, which the shared servers lack; else empty."""
    kind, _, driver = target.partition("+")
    if kind not in {"mysql", "mariadb"}:
        yield ""
        return
    with server(kind, "performance-schema = ON\n") as (_, url):
        yield url.replace("://", f"+{driver}://") if driver else url


@pytest.fixture
async def address(databases: Databases, target: str, private: str) -> str:
    return private or await databases.empty(target)


@pytest.fixture
def kind(target: str) -> str:
    return target.partition("-")[0].partition("+")[0].replace("mariadb", "mysql")


async def _shown(engine: AsyncEngine, kind: str) -> str | None:
    try:
        async with engine.connect() as connection:
            name: str | None = (await connection.execute(text(SHOWN[kind]))).scalar_one()
            return name
    finally:
        await engine.dispose()


async def test_connections_show_the_name_axon_storage(address: str, kind: str) -> None:
    assert await _shown(create_engine(address), kind) == "axon_storage"


@pytest.mark.parametrize("own", [False, True], ids=["application_name", "the driver's name for it"])
async def test_a_url_can_give_another_application_name(address: str, kind: str, own: bool) -> None:
    parameter = PARAMETER[kind] if own else "application_name"
    url = make_url(address).update_query_dict({parameter: "ledger-7"})
    assert await _shown(create_engine(url), kind) == "ledger-7"


async def test_a_hosts_engine_keeps_its_application_name(address: str, kind: str) -> None:
    plain = make_url(address)
    engine = create_async_engine(plain.set(drivername=of_scheme(plain.drivername).schemes[plain.drivername]))
    SqlRepository(engine)
    assert await _shown(engine, kind) != "axon_storage"


@pytest.fixture
async def shared_database(databases: Databases) -> AsyncIterator[str]:
    """A PostgreSQL database with a schema for each of two storages."""
    url = await databases.empty("postgresql")
    engine = create_engine(url)
    async with engine.begin() as connection:
        for name in ("one", "two"):
            await connection.execute(text(f"CREATE SCHEMA {name}"))
    yield url
    await engine.dispose()


async def test_a_search_path_gives_each_of_two_storages_its_own_schema(shared_database: str) -> None:
    names = ["one", "two"]
    urls = [f"{shared_database}?search_path={name}" for name in names]
    for name, url in zip(names, urls, strict=True):
        async with open_storage(url, migrate=True) as storage:
            assert await storage.load_traces(9) == []
            await storage.save_trace(sample(TraceRow, status=name))
    for name, url in zip(names, urls, strict=True):
        async with open_storage(url) as storage:
            assert await storage.is_healthy()
            assert [trace.status for trace in await storage.load_traces(9)] == [name]
    engine = create_engine(shared_database)
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT schemaname FROM pg_tables WHERE tablename = 'traces' ORDER BY 1"))
        assert found.scalars().all() == names
    await engine.dispose()
