"""``axon-storage migrate distribute`` on a Citus cluster, which ``AXON_TEST_CITUS_URL`` names."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    InvalidArgumentError,
    SqlRepository,
    StorageConnectionError,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.diagnosis import diagnose
from axon_storage.model.rows import EventRow
from axon_storage.sql.tables import VERSION_TABLE, metadata
from axon_storage.testing.samples import sample
from tests.databases import TARGETS, Databases, skip_without
from tests.servers import citus

EVERY = {*metadata.tables, VERSION_TABLE}


@pytest.fixture
async def empty(databases: Databases) -> str:
    """The URL of the coordinator of a new cluster without a schema."""
    if "citus" not in TARGETS:
        skip_without("citus", "AXON_TEST_CITUS_URL is not set")
    return await databases.empty("citus")


async def worker_of(url: str) -> str:
    [_, (host, port, _), *_] = await citus.nodes(url)
    return make_url(url).set(host=host, port=port).render_as_string(hide_password=False)


async def tables_of(url: str) -> set[str]:
    engine = create_engine(url, pool_size=1)
    async with engine.connect() as connection:
        found = set((await connection.execute(text("SELECT tablename FROM pg_tables"))).scalars())
    await engine.dispose()
    return found & EVERY


async def test_all_tables_are_distributed_with_their_rows_while_others_write(empty: str) -> None:
    await schema.upgrade(empty)
    stored: list[tuple[str, str]] = []
    ended = asyncio.Event()

    async def write(number: int) -> None:
        tenant = f"tenant {number}"
        async with open_storage(empty) as storage:
            while not ended.is_set():
                topic = f"{len(stored)}"
                await storage.for_tenant(tenant).append_event(sample(EventRow, tenant, topic=topic))
                stored.append((tenant, topic))

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    await schema.distribute(empty, shards=4)
    ended.set()
    await asyncio.gather(*writers)
    found = await schema.distribution_of(empty)
    assert found is not None
    assert (set(found.tables), found.shards) == (EVERY, 4)
    assert await schema.differences(empty) == []
    async with open_storage(empty) as storage:
        tenants = await storage.tenant_ids()
        rows = [(t, row.topic) for t in tenants async for row in storage.for_tenant(t).scan(EventRow)]
    assert sorted(rows) == sorted(stored)


async def test_a_revision_creates_its_tables_distributed(empty: str) -> None:
    await schema.upgrade(empty)
    await schema.distribute(empty, shards=2)
    await schema.downgrade(empty, "0003")
    await schema.upgrade(empty)
    found = await schema.distribution_of(empty)
    assert found is not None
    assert set(found.tables) == EVERY
    assert await schema.differences(empty) == []


async def test_what_is_not_distributed_is_a_difference_until_the_command_runs_again(empty: str) -> None:
    await schema.upgrade(empty)
    assert await schema.differences(empty) == []
    engine = create_engine(empty)
    async with engine.begin() as connection:
        await connection.execute(text("SELECT create_distributed_table('traces', 'tenant_id', shard_count => 3)"))
    await engine.dispose()
    local = {line.partition(",")[0] for line in await schema.differences(empty) if "distribution: local" in line}
    assert local == EVERY - {"traces"}
    findings = {finding.name: finding async for finding in diagnose(empty)}
    assert "some tables are local" in str(findings["distribution"])
    assert set(await schema.distribute(empty)) == EVERY - {"traces"}
    assert await schema.differences(empty) == []


async def test_a_worker_opens_and_refuses_migrations_before_anything_is_made(empty: str) -> None:
    worker = await worker_of(empty)
    with pytest.raises(StorageConnectionError, match="on the coordinator"):
        await schema.upgrade(worker)
    assert await tables_of(worker) == set()
    await schema.upgrade(empty)
    with pytest.raises(StorageConnectionError, match="on the coordinator"):
        await schema.distribute(worker)
    await schema.distribute(empty, shards=2)
    async with open_storage(worker) as storage:
        await storage.append_event(sample(EventRow))
        assert await storage.tenant_ids() == ["default"]
    await schema.upgrade(worker)  # it is up to date
    assert await schema.differences(worker) == []


async def test_a_repository_lists_the_tenants_although_its_engine_had_not_connected(empty: str) -> None:
    await schema.upgrade(empty)
    await schema.distribute(empty, shards=2)
    async with SqlRepository(create_engine(empty)) as storage:
        for tenant in ("acme", "umbrella"):
            await storage.for_tenant(tenant).append_event(sample(EventRow, tenant))
        assert await storage.tenant_ids() == ["acme", "umbrella"]


async def test_row_level_security_and_distribution_refuse_each_other_before_anything_is_changed(empty: str) -> None:
    await schema.upgrade(empty)
    await schema.secure(empty)
    with pytest.raises(InvalidArgumentError, match="secure --off"):
        await schema.distribute(empty)
    assert str(await schema.distribution_of(empty)) == "no table is distributed"
    await schema.unsecure(empty)
    await schema.distribute(empty, shards=2)
    with pytest.raises(InvalidArgumentError, match="the tables are distributed"):
        await schema.secure(empty)
    assert await schema.differences(empty) == []


async def test_the_place_of_a_tenant_is_read_once_although_many_calls_need_it(empty: str) -> None:
    await schema.upgrade(empty)
    await schema.distribute(empty, shards=2)
    engine = create_engine(empty)
    async with engine.connect():
        pass
    async with SqlRepository(engine) as storage:
        with statements_of(engine) as sent:
            await asyncio.gather(*[storage.append_event(sample(EventRow)) for _ in range(64)])
    assert len([each for each in sent if "get_shard_id_for_distribution_column" in each]) == 1


@contextmanager
def statements_of(engine: AsyncEngine) -> Iterator[list[str]]:
    """Yield the statements that an engine sends."""
    sent: list[str] = []

    def keep(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", keep)
    yield sent
    event.remove(engine.sync_engine, "before_cursor_execute", keep)


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
async def test_other_servers_refuse_to_distribute(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    await schema.upgrade(url)
    with pytest.raises(InvalidArgumentError, match=r"Citus|citus"):
        await schema.distribute(url)
    with pytest.raises(InvalidArgumentError, match="between 1 and"):
        await schema.distribute(url, shards=0)
    assert await schema.distribution_of(url) is None
