"""Query plans with row-level security: a statement reads as few rows as without it, also among many tenants."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import EventRow, SessionRow, create_engine
from axon_storage.dialects.postgresql import PostgreSQL
from axon_storage.sql.statements import key_executions, list_newest
from axon_storage.sql.transfer import delete_by_key, select_rows
from tests.accounts import run
from tests.databases import Databases
from tests.plans import cost
from tests.row_security.secured import name_tenants, secured_database

TENANTS, ROWS = 500, 200  # so many that the rows of a tenant, times its share of the table, are less than one

FILL = f"""
INSERT INTO sessions SELECT 't'||t, 's'||(i % 5), 'k'||i, 'v', 's' FROM generate_series(1, {TENANTS}) t,
  generate_series(1, {ROWS}) i;
INSERT INTO event_history SELECT 't'||t, gen_random_uuid(), 'topic'||(i % 20), 's', '{{}}', now()
  FROM generate_series(1, {ROWS}) i, generate_series(1, {TENANTS}) t;
ANALYZE sessions; ANALYZE event_history
""".split(";")

KEYS = [(f"s{number % 5}", f"k{number}") for number in range(1, ROWS, 20)]

_dialect = PostgreSQL()
_delete = next(key_executions(_dialect, ("scope", "key"), KEYS, {}))[0]

STATEMENTS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "the newest": (list_newest(_dialect, EventRow, (), has_offset=False), {"limit": 10}, 10),
    "of a topic": (list_newest(_dialect, EventRow, ("topic",), has_offset=False), {"limit": 5, "topic": "topic3"}, 5),
    "a page": (select_rows(SessionRow, 1), {"limit": 5, "scope": "s1", "key": "k1"}, 5),
    "a delete": (delete_by_key(_dialect, SessionRow), _delete, 2 * len(KEYS)),
}


@pytest.fixture(scope="session")
async def many_tenants(known_databases: Databases) -> AsyncEngine:
    """An engine, as an application, on a secured database with many tenants."""
    secured = await secured_database(known_databases, for_run=True)
    await run(secured.superuser, FILL)
    return known_databases.keep(create_engine(secured.whole, pool_size=1))


@pytest.mark.parametrize(("statement", "parameters", "rows"), STATEMENTS.values(), ids=STATEMENTS)
async def test_a_statement_reads_only_its_rows(
    many_tenants: AsyncEngine, target: str, statement: Any, parameters: dict[str, Any], rows: int
) -> None:
    assert target
    async with many_tenants.connect() as connection:
        await name_tenants(connection, "t7")
        found = await cost(connection, statement, {"tenant_id": "t7", **parameters})
        await connection.rollback()
    assert "array_position" in found.plan
    assert found.touched <= rows + 5, found.plan
