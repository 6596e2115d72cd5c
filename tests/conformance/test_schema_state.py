"""Opening checks the revision of the schema, and can migrate it."""

import asyncio

import pytest
from sqlalchemy import text

from axon_storage import StorageConnectionError, StorageDispatcher, TraceRow, create_engine, open_storage, schema
from axon_storage.sql.tables import VERSION_TABLE
from axon_storage.testing.samples import sample
from tests.databases import Databases

pytestmark = pytest.mark.needs_role("owner", reason="it migrates")


async def _execute(url: str, statement: str) -> None:
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def test_opening_without_a_schema_says_what_to_do_and_migrate_does_it(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    with pytest.raises(StorageConnectionError, match=r"has no schema, revision \d+ is needed: run `") as refused:
        async with open_storage(url, migrate=False):
            pass
    assert refused.value.operation == "open"
    async with open_storage(url, migrate=True) as storage:
        await storage.save_trace(sample(TraceRow))
    async with open_storage(url, migrate=False) as storage:
        assert await storage.is_healthy()
        assert await storage.load_traces(1) == [sample(TraceRow)]


async def test_migrate_defaults_to_true_only_on_sqlite(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    if target == "sqlite":
        async with open_storage(url) as storage:
            assert await storage.is_healthy()
    else:
        with pytest.raises(StorageConnectionError, match="has no schema"):
            await StorageDispatcher.from_url(url)


async def test_the_error_of_each_state_of_the_schema_says_what_to_do(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    head = schema.head()
    await schema.upgrade(url, "0001")
    for revision, message in (
        ("0001", f"at revision 0001, revision {head} is needed: run `axon-storage migrate upgrade`"),
        ("9999", f"at revision 9999, this package supports {head}: upgrade this package, or open"),
        (
            "f00d",
            f"at revision f00d, which this package does not have; {head} is needed: .*`axon-storage migrate stamp`",
        ),
    ):
        await _execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")
        with pytest.raises(StorageConnectionError, match=message) as refused:
            await StorageDispatcher.from_url(url, migrate=False)
        assert refused.value.operation == "open"
        assert not refused.value.transient


async def test_a_newer_schema_is_refused_unless_allowed(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    await schema.upgrade(url)
    await _execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for migrate in (True, False):
        with pytest.raises(StorageConnectionError, match="the schema is at revision 9999, this package supports"):
            await StorageDispatcher.from_url(url, migrate=migrate)
    async with open_storage(url, allow_ahead=True) as storage:
        await storage.save_trace(sample(TraceRow))
        assert await storage.is_healthy()
    await _execute(url, f"UPDATE {VERSION_TABLE} SET version_num = 'f00d'")
    with pytest.raises(StorageConnectionError, match="which this package does not have"):
        await StorageDispatcher.from_url(url, allow_ahead=True)


async def test_storages_that_open_at_the_same_time_do_not_mix_up_their_migrations(
    databases: Databases, target: str
) -> None:
    urls = [await databases.empty(target) for _ in range(3)]
    opened = await asyncio.gather(*(StorageDispatcher.from_url(url, migrate=True) for url in urls))
    for storage in opened:
        assert await storage.is_healthy()
        await storage.close()
