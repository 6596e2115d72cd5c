"""Adoption of an AxonServer's tables keeps every row in its order, or changes nothing and lists what does not fit."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from axon_storage import (
    CacheRow,
    CostRow,
    EventRow,
    InvalidArgumentError,
    SerializationError,
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    TraceRow,
    create_engine,
    schema,
)
from axon_storage.model.rows import ROW_TYPES
from axon_storage.sql.tables import TABLES, VERSION_TABLE, event_history
from axon_storage.sql.types import UInt32
from axon_storage.testing.samples import LARGEST, sample
from axon_storage.testing.verbs import load
from tests.databases import Databases

ADOPTED = {table.name for table in TABLES.values()}
SURROGATE = {"traces", "sessions", "audit_log", "event_history", "execution_cache", "cost_tracking"}
"""The tables of an AxonServer whose key is a BIGSERIAL; the key of the others is the name."""
UNIQUE = {"traces": "trace_id", "sessions": "scope, key", "execution_cache": "cache_key"}
TIMESTAMPED = {"traces", "sessions", "audit_log", "event_history", "cost_tracking"}
DOCUMENT = {"kept": [1, 2.5, None, "é"]}
POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def _axon_server(*, tenants: bool) -> list[str]:
    """The statements that create an AxonServer's tables, as its first migration does or with tenants and policies."""
    statements = ["CREATE TABLE tenants (tenant_id TEXT PRIMARY KEY, name TEXT NOT NULL)"] if tenants else []
    statements += [f"INSERT INTO tenants VALUES ('{name}', 'a tenant')" for name in ("default", "acme") if tenants]
    for row_type, table in TABLES.items():
        key = [name for name in row_type.KEY if name not in SURROGATE]
        columns = ["id BIGSERIAL PRIMARY KEY"] if table.name in SURROGATE else []
        columns += [_column(column) for name in row_type.__slots__ if (column := table.c[name]).name != "tenant_id"]
        columns += ["timestamp_utc TIMESTAMPTZ NOT NULL DEFAULT now()"] if table.name in TIMESTAMPED else []
        columns += ["created_at TIMESTAMPTZ NOT NULL DEFAULT now()"] if table.name == "execution_cache" else []
        columns += ["tenant_id TEXT NOT NULL DEFAULT 'default' REFERENCES tenants"] if tenants else []
        if table.name not in SURROGATE:
            columns.append(f"PRIMARY KEY ({', '.join([*(['tenant_id'] if tenants else []), *key])})")
        if tenants and table.name in UNIQUE:
            columns.append(f"UNIQUE (tenant_id, {UNIQUE[table.name]})")
        statements.append(f"CREATE TABLE {table.name} ({', '.join(columns)})")
        if tenants:
            statements.append(f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY")
            statements.append(f"CREATE POLICY tenant_isolation ON {table.name} USING (tenant_id = 'default')")
    return statements


def _column(column: Any) -> str:
    ours = column.type.compile(dialect=POSTGRESQL)
    kind = "TEXT" if "COLLATE" in ours else "JSONB" if ours == "JSON" else ours
    kind = "INT" if isinstance(column.type, UInt32) else kind
    return f"{column.name} {kind}{'' if column.nullable else ' NOT NULL'}"


@pytest.fixture
async def empty(databases: Databases) -> str:
    return await databases.empty("postgresql")


async def _execute(url: str, *statements: str, **parameters: Any) -> None:
    engine = create_engine(url)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement), parameters)
    await engine.dispose()


def _insert(table: str, **values: str) -> str:
    """An INSERT of a sample row; ``values`` are SQL expressions that replace some of its values."""
    row_type = next(row_type for row_type, found in TABLES.items() if found.name == table)
    row = sample(row_type)
    literals = {name: _literal(getattr(row, name)) for name in row_type.__slots__ if name != "tenant_id"} | values
    return f"INSERT INTO {table} ({', '.join(literals)}) VALUES ({', '.join(literals.values())})"


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return f"'{json.dumps(DOCUMENT)}'".replace(":", r"\:")
    if value is None or isinstance(value, int | float):
        return "NULL" if value is None else str(value)
    return f"'{value.replace(chr(39), chr(39) * 2)}'".replace(":", r"\:")


def _adopted(row_type: Any, tenant: str = "default", **fields: Any) -> Any:
    """The sample row, as it is read after the adoption."""
    row = sample(row_type, tenant)
    documents = {name: DOCUMENT for name in row_type.__slots__ if isinstance(getattr(row, name), dict)}
    return sample(row_type, tenant, **{**documents, **fields})


async def test_every_row_of_every_table_is_kept_with_its_order(empty: str) -> None:
    moments = [START, START, START, START + timedelta(microseconds=1), START + timedelta(days=1)]
    await _execute(empty, *_axon_server(tenants=True))
    for number, moment in enumerate(moments):
        at = f"'{moment.isoformat()}'".replace(":", r"\:")
        await _execute(empty, _insert("event_history", source=f"'{number}'", timestamp_utc=at))
        await _execute(empty, _insert("traces", trace_id=str(100 - number), timestamp_utc=at))
    await _execute(
        empty,
        _insert("traces", trace_id="-1", latency_ms="-9223372036854775808", retries="-1", tenant_id="'acme'"),
        *(_insert(table.name) for table in TABLES.values() if table.name not in {"traces", "event_history"}),
        _insert("execution_cache", cache_key="'gone'", ttl_secs="0"),
        _insert("execution_cache", cache_key="'old'", ttl_secs="60", created_at="now() - interval '1 hour'"),
        _insert("execution_cache", cache_key="'young'", ttl_secs="3600"),
        "CREATE ROLE reporting_of_the_test",
        "GRANT SELECT ON traces TO reporting_of_the_test",
    )
    found = await schema.adopt(empty, dry_run=True)
    assert found.refusals == []
    assert found.losses == [f"{name}: its row-level security" for name in sorted(ADOPTED)]
    assert found.rows == {table.name: 1 for table in TABLES.values()} | {
        "traces": 6,
        "event_history": 5,
        "execution_cache": 4,
    }
    assert await schema.current(empty) is None

    assert await schema.adopt(empty) == found
    assert await schema.current(empty) == schema.head()
    assert await schema.differences(empty) == []
    engine = create_engine(empty)
    storage = SqlRepository(engine)
    assert [event.source for event in await storage.query_events(None, 9)] == ["4", "3", "2", "1", "0"]
    assert [trace.trace_id for trace in await storage.load_traces(9)] == [96, 97, 98, 99, 100]
    assert await storage.for_tenant("acme").load_traces(9) == [
        _adopted(TraceRow, "acme", trace_id=LARGEST, latency_ms=2**63, retries=2**32 - 1)
    ]
    for row_type in set(ROW_TYPES) - {TraceRow, EventRow, CacheRow}:
        assert await load(storage, row_type) == [_adopted(row_type)]
    assert [entry.cache_key for entry in await storage.load_cache_entries()] == ["name", "young"]
    assert await storage.evict_expired_cache() == 2
    await storage.append_event(sample(EventRow, source="new"))
    assert (await storage.query_events(None, 1))[0].source == "new"
    async with engine.connect() as connection:
        ids = (await connection.execute(event_history.select().order_by(event_history.c.id))).all()
        assert [row.timestamp_utc for row in ids[:4]] == [START + timedelta(microseconds=n) for n in range(4)]
        assert all(row.id.version == 7 for row in ids)
        for table in ("traces", VERSION_TABLE):
            granted = f"SELECT has_table_privilege('reporting_of_the_test', '{table}', 'SELECT')"
            assert (await connection.execute(text(granted))).scalar() is True
        await connection.execute(text("DROP OWNED BY reporting_of_the_test"))
        await connection.execute(text("DROP ROLE reporting_of_the_test"))
        await connection.commit()
    await storage.close()


async def test_rows_of_a_server_without_tenants_get_the_default_tenant(empty: str) -> None:
    await _execute(empty, *_axon_server(tenants=False), _insert("sessions"), _insert("cost_tracking"))
    await schema.adopt(empty)
    storage = SqlRepository(create_engine(empty))
    assert await storage.tenant_ids() == ["default"]
    assert await storage.load_sessions("name") == [_adopted(SessionRow)]
    assert await storage.query_costs(None, 9) == [_adopted(CostRow)]
    assert await storage.query_audit(9) == []
    await storage.close()
    assert await schema.differences(empty) == []


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        (_insert("audit_log", actor="repeat('x', 256)"), "audit_log.actor: 256 characters, at most 255"),
        (
            _insert("event_history", payload="'[1, 18446744073709551616]'"),
            "event_history.payload[1]: 18446744073709551616",
        ),
        (_insert("event_history", payload="'1e400'"), "event_history.payload: an integer of 1329 bits"),
        (_insert("cost_tracking", cost_usd="'NaN'"), "cost_tracking.cost_usd: NaN is not a finite float"),
        (_insert("sessions", value="repeat('x', 7340033)"), "sessions: 7340033 bytes of text and JSON in one row"),
        (_insert("audit_log", timestamp_utc="'-infinity'"), "audit_log.timestamp_utc: -infinity is not between"),
        (_insert("audit_log", timestamp_utc="'1969-12-31'"), "audit_log.timestamp_utc: 1969-12-31"),
    ],
)
async def test_values_that_do_not_fit_are_listed_and_nothing_is_changed(
    empty: str, statement: str, refusal: str
) -> None:
    await _execute(empty, *_axon_server(tenants=True), _insert("daemons"), statement)
    found = await schema.adopt(empty, dry_run=True)
    assert len(found.refusals) == 1
    assert found.refusals[0].startswith(refusal)
    with pytest.raises(SerializationError, match="these values cannot be stored, and nothing was") as refused:
        await schema.adopt(empty)
    assert refusal in str(refused.value)
    assert await schema.current(empty) is None
    engine = create_engine(empty)
    async with engine.connect() as connection:
        for table in ADOPTED:
            policy = f"SELECT relrowsecurity FROM pg_class WHERE oid = '{table}'::regclass".replace("::", r"\:\:")
            assert (await connection.execute(text(policy))).scalar() is True
    await engine.dispose()


async def test_a_policy_that_would_hide_rows_is_an_error(empty: str) -> None:
    await _execute(empty, *_axon_server(tenants=True), _insert("audit_log"))
    await _execute(
        empty,
        "CREATE ROLE hidden_of_the_test LOGIN PASSWORD 'throwaway'",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO hidden_of_the_test",
    )
    url = empty.replace("axon:pg-throwaway-secret", "hidden_of_the_test:throwaway")
    with pytest.raises(Exception, match="row-level security"):
        await schema.adopt(url, dry_run=True)
    await _execute(empty, "DROP OWNED BY hidden_of_the_test", "DROP ROLE hidden_of_the_test")


async def test_other_databases_are_refused(databases: Databases, empty: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"adopt: these are not an AxonServer's tables \(no traces\)"):
        await schema.adopt(empty)
    await schema.upgrade(empty)
    with pytest.raises(InvalidArgumentError, match="adopt: the tables already belong to this package"):
        await schema.adopt(empty)
    with pytest.raises(InvalidArgumentError, match="adopt: an AxonServer's database is PostgreSQL"):
        await schema.adopt(await databases.empty("sqlite"))


async def test_an_upgrade_refuses_an_axonservers_tables(empty: str) -> None:
    await _execute(empty, *_axon_server(tenants=True))
    with pytest.raises(StorageConnectionError, match=r"not belong to this package: .*`axon-storage migrate adopt`"):
        await schema.upgrade(empty)
