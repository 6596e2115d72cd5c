"""Engines that a host made: its options do not change what the calls of this package do."""

import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import JSON, literal_column, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from axon_storage import EventRow, SessionRow, SqlRepository, TraceRow
from axon_storage.dialects import of_scheme
from axon_storage.testing.samples import sample

Make = Callable[..., AsyncEngine]

ORDERS = [(), ("SERIALIZABLE",), ("AUTOCOMMIT",), ("SERIALIZABLE", "AUTOCOMMIT"), ("AUTOCOMMIT", "SERIALIZABLE")]
"""The isolation levels that a host sets on a connection, one after the other."""

pytestmark = pytest.mark.not_on(
    "postgresql-pgbouncer-1.18", "a host passes the sizes of the caches as numbers, not in the URL"
)


@pytest.fixture
async def host_engine(url: str) -> AsyncIterator[Make]:
    """A function that makes an engine with one connection, as a host would."""
    made: list[AsyncEngine] = []

    def make(**options: Any) -> AsyncEngine:
        plain = make_url(url)
        driver = of_scheme(plain.drivername).schemes[plain.drivername]
        made.append(create_async_engine(plain.set(drivername=driver), **{"pool_size": 1, "max_overflow": 0} | options))
        return made[-1]

    yield make
    for each in made:
        await each.dispose()


async def host_sets(engine: AsyncEngine, *levels: str) -> None:
    """Use a connection as a host does, once with each of these isolation levels."""
    for level in levels:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level=level)
            await connection.execute(text("SELECT 1 FROM sessions"))


@pytest.mark.parametrize("levels", ORDERS, ids=str)
@pytest.mark.parametrize("options", [{}, {"isolation_level": "AUTOCOMMIT"}], ids=["plain", "AUTOCOMMIT"])
async def test_transactions_roll_back_whatever_isolation_level_a_host_has_set(
    host_engine: Make, options: dict[str, str], levels: tuple[str, ...]
) -> None:
    engine = host_engine(**options)
    storage = SqlRepository(engine)
    await storage.load_daemons()
    await host_sets(engine, *levels)
    with pytest.raises(KeyError):
        async with storage.transaction() as transaction:
            await transaction.save_session(sample(SessionRow))
            raise KeyError
    assert await storage.load_sessions("name") == []


@pytest.mark.not_on("sqlite", "only one transaction at a time can write")
@pytest.mark.parametrize("levels", ORDERS, ids=str)
@pytest.mark.parametrize("options", [{}, {"isolation_level": "AUTOCOMMIT"}], ids=["plain", "AUTOCOMMIT"])
async def test_transactions_are_read_committed_whatever_isolation_level_a_host_has_set(
    host_engine: Make, repository: SqlRepository, options: dict[str, str], levels: tuple[str, ...]
) -> None:
    engine = host_engine(**options)
    storage = SqlRepository(engine)
    await storage.load_daemons()
    await host_sets(engine, *levels)
    async with storage.transaction() as transaction:
        assert await transaction.load_sessions("name") == []
        await repository.save_session(sample(SessionRow))
        assert await transaction.load_sessions("name") == [sample(SessionRow)]


@pytest.mark.parametrize("statement", ["SET autocommit = 1", "SET autocommit = 0"])
@pytest.mark.parametrize("target", ["mariadb", "mysql", "mariadb-asyncmy", "mysql-asyncmy"])
async def test_transactions_roll_back_after_a_host_has_set_autocommit_in_sql(host_engine: Make, statement: str) -> None:
    engine = host_engine()
    storage = SqlRepository(engine)
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    with pytest.raises(KeyError):
        async with storage.transaction() as transaction:
            await transaction.save_session(sample(SessionRow))
            raise KeyError
    assert await storage.load_sessions("name") == []


EXECUTION_OPTIONS: dict[str, Any] = {
    "stream_results": True,
    "yield_per": 1,
    "schema_translate_map": {None: "elsewhere"},
    "preserve_rowcount": True,
    "insertmanyvalues_page_size": 1,
    "logging_token": "a host's",
    "no_parameters": True,
    "postgresql_deferrable": True,
    "sqlite_raw_colnames": True,
}


@pytest.mark.parametrize("option", EXECUTION_OPTIONS)
async def test_calls_give_the_same_results_whatever_execution_options_a_host_has_set(
    host_engine: Make, option: str
) -> None:
    storage = SqlRepository(host_engine(execution_options={option: EXECUTION_OPTIONS[option]}))
    rows = [sample(EventRow, topic=topic) for topic in "abc"]
    for row in rows:
        await storage.append_event(row)
    await storage.save_many(sample(SessionRow, key=key) for key in "abc")
    async with storage.transaction() as transaction:
        assert await transaction.delete_session("name", "b")
    assert await storage.query_events(None, 9) == rows[::-1]
    assert [each.row async for each in storage.iter_events()] == rows
    assert [entry.key for entry in await storage.load_sessions("name")] == ["a", "c"]
    assert await storage.tenant_ids() == ["default"]
    assert await storage.is_healthy()


def hosts_own_json(document: str) -> Any:
    """Parse JSON as a host might: numbers as decimals, keys sorted."""
    return json.loads(document, parse_float=Decimal, object_pairs_hook=lambda pairs: dict(sorted(pairs)))


async def test_json_is_read_as_it_was_stored_whatever_decoder_a_host_has_set(host_engine: Make) -> None:
    storage = SqlRepository(host_engine(json_deserializer=hosts_own_json))
    row = sample(TraceRow, events={"b": 1.0, "a": [0.1, {"d": 2, "c": None}]}, annotations=None)
    await storage.save_trace(row)
    found = await storage.get_trace(row.trace_id)
    assert found == row
    assert json.dumps(found.events) == json.dumps(row.events)
    assert [each.row async for each in storage.iter_traces()] == await storage.load_traces(1) == [row]


@pytest.mark.parametrize("target", ["postgresql"])
async def test_a_hosts_own_queries_use_its_json_decoder(host_engine: Make) -> None:
    engine = host_engine(json_deserializer=hosts_own_json)
    await SqlRepository(engine).load_daemons()
    async with engine.connect() as connection:
        found = (await connection.execute(select(literal_column("""'{"b": 0.5, "a": 1}'::json""", JSON)))).scalar_one()
    assert list(found.items()) == [("a", 1), ("b", Decimal("0.5"))]
