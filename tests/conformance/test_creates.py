"""``create`` and ``save_many(keep_existing=True)`` store a row only if its key does not exist."""

import asyncio
import random
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    DaemonRow,
    QueryError,
    SqlRepository,
    StorageBackend,
)
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.creates import *  # noqa: F403
from axon_storage.testing.suite.creates import entry_of
from tests.conformance.concurrent_writes import start

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("group_commit", [True, False])
async def test_of_concurrent_creates_of_one_key_one_returns_true(engine: AsyncEngine, *, group_commit: bool) -> None:
    storages = [SqlRepository(engine, group_commit=group_commit) for _ in range(3)]
    for turn in range(5):
        rows = [entry_of(f"{turn}", f"{number}") for number in range(30)]
        calls = start(*(storages[number % 3].create(row) for number, row in enumerate(rows)))
        [stored] = [row for row, created in zip(rows, await asyncio.gather(*calls), strict=True) if created]
        assert await storages[0].get_session("s", f"{turn}") == stored


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("group_commit", [True, False])
async def test_writes_of_a_row_and_their_results_are_in_the_order_of_the_calls(
    engine: AsyncEngine, seed: int, *, group_commit: bool
) -> None:
    storage, dice = SqlRepository(engine, group_commit=group_commit), random.Random(seed)  # noqa: S311  # repeatable
    calls, expected, model = list["asyncio.Future[Any]"](), list[Any](), dict[str, str]()
    for number in range(120):
        key, value = dice.choice("abcd"), f"{number}"
        match dice.randrange(4):
            case 0:
                calls += start(storage.create(entry_of(key, value)))
                expected.append(key not in model)
                model.setdefault(key, value)
            case 1:
                calls += start(storage.delete_session("s", key))
                expected.append(model.pop(key, None) is not None)
            case 2:
                calls += start(storage.save_session(entry_of(key, value)))
                expected.append(None)
                model[key] = value
            case _:
                calls += start(storage.save_many([entry_of(key, value)], keep_existing=True))
                expected.append(None)
                model.setdefault(key, value)
        if dice.random() < 0.1:
            await asyncio.sleep(0.001)
    assert await asyncio.gather(*calls) == expected
    assert {entry.key: entry.value for entry in await storage.load_sessions("s")} == model


@pytest.mark.needs_role("owner", reason="it creates an index")
async def test_another_unique_key_is_an_error(storage: StorageBackend, engine: AsyncEngine, tenant: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE UNIQUE INDEX ux_flow ON daemons (tenant_id, flow_name)"))
    try:
        assert await storage.create(sample(DaemonRow, tenant, name="a", flow_name="f"))
        with pytest.raises(QueryError):
            await storage.create(sample(DaemonRow, tenant, name="b", flow_name="f"))
        assert await storage.create(sample(DaemonRow, tenant, name="a", flow_name="g")) is False
    finally:
        async with engine.begin() as connection:
            on = " ON daemons" if engine.dialect.name in ("mysql", "mariadb") else ""
            await connection.execute(text(f"DROP INDEX ux_flow{on}"))
