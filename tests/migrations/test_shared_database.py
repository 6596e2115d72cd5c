"""Several installations share one PostgreSQL database, each in the schema of its search path."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from axon_storage import SqlRepository, StorageError, TraceRow, create_engine, open_storage, schema
from axon_storage.sql.tables import VERSION_TABLE, metadata
from axon_storage.testing.samples import sample
from tests.databases import Databases

PASSWORD = "throwaway1"


@pytest.fixture
async def url(databases: Databases) -> str:
    return await databases.empty("postgresql")


async def _execute(url: str, *statements: str) -> None:
    engine = create_engine(url)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


@pytest.fixture
async def role_urls(url: str) -> AsyncIterator[list[str]]:
    """The URLs of two roles, each with a search path to a schema of its own."""
    names = [f"axon_{uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        await _execute(
            url,
            f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'",
            f"CREATE SCHEMA AUTHORIZATION {name}",
            f"ALTER ROLE {name} SET search_path = {name}",
        )
    yield [make_url(url).set(username=name, password=PASSWORD).render_as_string(hide_password=False) for name in names]
    for name in names:
        await _execute(url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


async def _tables(url: str, schema_name: str) -> set[str]:
    engine = create_engine(url)
    query = text("SELECT tablename FROM pg_tables WHERE schemaname = :schema")
    async with engine.connect() as connection:
        found = set((await connection.execute(query, {"schema": schema_name})).scalars())
    await engine.dispose()
    return found


async def test_roles_with_schemas_of_their_own_share_a_database(url: str, role_urls: list[str]) -> None:
    await asyncio.gather(*(schema.upgrade(target) for target in role_urls))
    for number, target in enumerate(role_urls):
        assert await schema.differences(target) == []
        async with open_storage(target, migrate=False) as storage:
            await storage.save_trace(sample(TraceRow, trace_id=number))
            assert [row.trace_id for row in await storage.load_traces(9)] == [number]
            assert await storage.is_healthy()
        name = make_url(target).username
        assert name is not None
        assert await _tables(url, name) == {*metadata.tables, VERSION_TABLE}
    assert await _tables(url, "public") == set()
    assert await schema.current(url) is None


async def test_one_installation_can_be_removed_or_changed_without_the_others(url: str, role_urls: list[str]) -> None:
    for target in (url, *role_urls):
        await schema.upgrade(target)
    first, second = role_urls
    await schema.downgrade(first, "base")
    await schema.downgrade(second, "-1")
    await _execute(url, "DROP INDEX public.ix_traces_flow")
    assert await schema.current(first) is None
    assert await schema.current(second) == schema.history()[-2].number
    await schema.upgrade(second)
    assert await schema.differences(second) == []
    assert [line.partition(":")[0] for line in await schema.differences(url)] == ["traces, index ix_traces_flow"]


def _engine(url: str, search_path: str) -> AsyncEngine:
    asyncpg = make_url(url).set(drivername="postgresql+asyncpg")
    return create_async_engine(asyncpg, connect_args={"server_settings": {"search_path": search_path}})


async def test_a_hosts_engine_sets_the_search_path(url: str) -> None:
    await _execute(url, "CREATE SCHEMA agents", "CREATE TABLE public.traces (id integer)")
    engine = _engine(url, "agents")
    await schema.upgrade(engine)
    assert await schema.differences(engine) == []
    storage = SqlRepository(engine)
    await storage.save_trace(sample(TraceRow))
    assert await storage.load_traces(9) == [sample(TraceRow)]
    await storage.close()
    assert await _tables(url, "agents") == {*metadata.tables, VERSION_TABLE}
    assert await _tables(url, "public") == {"traces"}


async def test_a_url_names_the_schema(url: str) -> None:
    await _execute(url, "CREATE SCHEMA agents")
    target = f"{url}?search_path=agents"
    await schema.upgrade(target)
    assert await schema.differences(target) == []
    async with open_storage(target, migrate=False) as storage:
        await storage.save_trace(sample(TraceRow))
        assert await storage.load_traces(9) == [sample(TraceRow)]
    assert await _tables(url, "agents") == {*metadata.tables, VERSION_TABLE}
    assert await schema.current(url) is None
    await schema.downgrade(target, "base")
    assert await schema.current(target) is None


async def test_an_upgrade_in_a_schema_that_does_not_exist_fails(url: str) -> None:
    engine = _engine(url, "nowhere")
    with pytest.raises(StorageError, match=r"3F000.*no schema has been selected to create in"):
        await schema.upgrade(engine)
    await engine.dispose()
