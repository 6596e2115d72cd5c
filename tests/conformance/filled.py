"""Databases with 50,000 rows in each large table, for the tests of query plans."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    CacheRow,
    CostRow,
    EventRow,
    Row,
    SessionRow,
    SqlRepository,
    TraceRow,
)
from axon_storage.engine.create import create_engine
from axon_storage.schema import upgrade
from axon_storage.sql.tables import TABLES
from axon_storage.testing.samples import sample
from tests.databases import Databases
from tests.plans import Cost, cost

ROWS = 50_000  # with 20,000, PostgreSQL has other plans
PART = 12_000
PAGE = 100
SPARE = 25  # a database may read a few index entries beyond the rows of the result

ANALYZE = {"postgresql": "ANALYZE {}", "mysql": "ANALYZE TABLE {}", "sqlite": "ANALYZE {}"}

_filled: dict[str, AsyncEngine] = {}


async def filled_database(databases: Databases, target: str) -> AsyncEngine:
    """A database with 50,000 rows in each large table, a tenth of them of another tenant; made once."""
    if target not in _filled:
        url = await databases.empty(target, for_run=True)
        await upgrade(url)
        engine = databases.keep(create_engine(url))
        for tenant, share in (("default", 9), ("other", 1)):
            storage, rows = SqlRepository(engine).for_tenant(tenant), _rows(tenant, ROWS // 10 * share)
            while part := list(islice(rows, PART)):  # all rows in one transaction can take longer than a call may
                await storage.save_many(part)
        async with engine.begin() as connection:
            for table in TABLES.values():
                await connection.execute(text(ANALYZE[engine.dialect.name].format(table.name)))
        _filled[target] = engine
    return _filled[target]


def _rows(tenant: str, count: int) -> Iterator[Row]:
    for number in range(count):
        # the rare and the early topic and flow are among the oldest rows, which a scan from the newest reaches last
        rare = number % 50 == 0 and number < 1000
        kind = "rare" if rare else ("frequent" if number % 2 else f"kind {number % 40}")
        if number < count // 3:
            kind = "rare" if rare else "early"
        yield sample(TraceRow, tenant, trace_id=number, events=[], annotations=None)
        yield sample(AuditRow, tenant, detail=None)
        yield sample(EventRow, tenant, topic=kind, payload=None)
        yield sample(CostRow, tenant, flow_name=kind)
        yield sample(CacheRow, tenant, cache_key=str(number), result=None, ttl_secs=0 if rare else 86_400)
        yield sample(SessionRow, tenant, scope=f"scope {number % 5}", key=str(number), value="")


async def cost_of(engine: AsyncEngine, statement: Any, **parameters: Any) -> Cost:
    async with engine.connect() as connection:
        found = await cost(connection, statement, {"tenant_id": "default", **parameters})
        await connection.rollback()
    return found
