"""If an index is missing, lists are slower but correct, and the comparison of the schema names the index."""

import logging
from typing import Any

import pytest
from sqlalchemy import Connection, Index
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import CostRow, EventRow, SqlRepository, StorageBackend, TraceRow, create_engine, schema
from axon_storage.sql.tables import metadata
from axon_storage.testing.samples import sample
from tests.databases import Databases

INDEXES = [index for table in metadata.sorted_tables for index in table.indexes]


@pytest.fixture(params=["", "+asyncmy"], ids=["", "asyncmy"])
async def url(databases: Databases, target: str, request: pytest.FixtureRequest) -> str:
    """A database without a schema, through each driver of MySQL and MariaDB."""
    if not request.param:
        return await databases.empty(target)
    if target not in {"mysql", "mariadb"}:
        pytest.skip("one driver")
    return await databases.empty(f"{target}-asyncmy")


async def _drop_indexes(engine: AsyncEngine) -> None:
    def drop(connection: Connection) -> None:
        for index in INDEXES:
            index.drop(connection)

    async with engine.begin() as connection:
        await connection.run_sync(drop)


async def _fill(storage: StorageBackend) -> None:
    for number in range(5):
        flow = f"flow {number % 2}"
        await storage.save_trace(sample(TraceRow, trace_id=number, flow_name=flow))
        await storage.append_event(sample(EventRow, topic=flow, source=str(number)))
        await storage.record_cost(sample(CostRow, flow_name=flow, input_tokens=number))


async def _lists(storage: StorageBackend) -> list[list[Any]]:
    return [
        [row.trace_id for row in await storage.load_traces(3, offset=1)],
        [row.source for row in await storage.query_events("flow 0", 2)],
        [row.input_tokens for row in await storage.query_costs("flow 1", 9)],
        [recorded.row.trace_id async for recorded in storage.iter_traces()],
        [recorded.row.trace_id async for recorded in storage.iter_traces(flow="flow 1")],
        [recorded.row.source async for recorded in storage.iter_events(topic="flow 1")],
    ]


EXPECTED = [[3, 2, 1], ["4", "2"], [3, 1], [0, 1, 2, 3, 4], [1, 3], ["1", "3"]]


async def test_lists_work_without_their_indexes(url: str, caplog: pytest.LogCaptureFixture) -> None:
    await schema.upgrade(url)
    engine = create_engine(url)
    storage = SqlRepository(engine)
    await _fill(storage)
    await _drop_indexes(engine)
    with caplog.at_level(logging.WARNING):
        assert await _lists(storage) == EXPECTED
        assert await _lists(storage) == EXPECTED
    assert await storage.is_healthy()
    logged = [message for message in caplog.messages if "an index is missing" in message]
    assert len(logged) == (3 if url.startswith(("mysql", "mariadb")) else 0)  # one for each table
    async with storage.transaction() as transaction:
        await transaction.save_trace(sample(TraceRow, trace_id=5))
        assert [row.trace_id for row in await transaction.load_traces(9)] == [5, 4, 3, 2, 1, 0]
    assert len(await storage.load_traces(9)) == 6  # the transaction went on after the list, and was committed
    await storage.close()
    assert sorted(await schema.differences(url)) == sorted(_difference(index) for index in INDEXES)


def _difference(index: Index) -> str:
    columns = ", ".join(index.columns.keys())
    assert index.table is not None
    return f"{index.table.name}, index {index.name}: missing, not ({columns})"
