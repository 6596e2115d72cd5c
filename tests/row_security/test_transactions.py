"""What a storage sends to a database with row-level security: each transaction names exactly its tenants."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import AuditRow, EventRow, QueryError, SessionRow, SqlRepository, create_engine, new_id
from axon_storage.dialects.postgresql import PostgreSQL
from axon_storage.dialects.postgresql.row_security import tenants_literal
from axon_storage.sql.batches import batch
from axon_storage.sql.plans import DeletePlan
from axon_storage.sql.tables import sessions
from axon_storage.sql.writes import PreparedWrite
from axon_storage.testing.samples import sample
from tests.conformance.test_short_path import CALLS, Call, Sent, statements_of
from tests.row_security.secured import Secured

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('axon_storage.tenants', E'{}', true)"
ONE = BEGIN.format('{"default"}')

TENANTS = ("acme", "beta", 'it\'s \\ "{,}" ☕', "NULL", "")


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    """An engine with one connection, as the account that is bound."""
    engine = create_engine(url, pool_size=1)
    yield engine
    await engine.dispose()


def messages(sent: Sent) -> list[str]:
    """Return the messages that begin, change and end transactions."""
    return [each for each in sent if re.match("BEGIN|COMMIT|ROLLBACK|SELECT set_config", each)]


def tenants_of(message: str) -> set[str]:
    return set(re.findall(r'"([^"]*)"', message))


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=4))
@settings(max_examples=100)
async def test_any_tenant_is_named_exactly(secured_for_run: Secured, target: str, tenants: list[str]) -> None:
    del target
    async with secured_for_run.engine.connect() as connection:
        for strings in ("on", "off"):
            await connection.exec_driver_sql(f"SET LOCAL standard_conforming_strings = {strings}")
            found = await connection.exec_driver_sql(f"SELECT CAST({tenants_literal(tenants)} AS text[])")
            assert found.scalar_one() == sorted(tenants)
        await connection.rollback()


@pytest.mark.parametrize("call", [call for call, _ in CALLS.values()], ids=CALLS)
async def test_a_call_begins_and_names_its_tenant_in_one_message(engine: AsyncEngine, call: Call) -> None:
    repository, sent = SqlRepository(engine), statements_of(engine)
    await repository.append_event(sample(EventRow))
    sent.clear()
    await call(repository)
    assert messages(sent) == [ONE, "COMMIT"], sent


async def test_a_group_commit_names_exactly_the_tenants_that_it_holds(secured: Secured) -> None:
    engine = create_engine(secured.whole, pool_size=4)
    repository, sent = SqlRepository(engine), statements_of(engine)
    await asyncio.gather(
        *(
            repository.for_tenant(f"t{n % 5}").save_session(sample(SessionRow, f"t{n % 5}", key=str(n)))
            for n in range(50)
        ),
        *(repository.for_tenant(f"t{n % 3}").append_event(sample(EventRow, f"t{n % 3}")) for n in range(50)),
    )
    named = [tenants_of(message) for message in messages(sent) if message.startswith("BEGIN")]
    assert max(len(tenants) for tenants in named) > 2  # in turns of several rows, so perhaps not all of them
    assert {len(tenants) for tenants in named} != {5}  # the first write is sent alone
    for tenant in range(5):
        assert len(await repository.for_tenant(f"t{tenant}").load_sessions("name")) == 10
    await repository.close()


def test_a_batch_uses_the_tenants_of_its_writes_and_no_others() -> None:
    writes = [
        PreparedWrite("delete", tenant, 0, set(), 1, 1, plan=DeletePlan((0,), sessions.delete(), []))
        for tenant in ("acme", "beta", "acme")
    ]
    assert batch(PostgreSQL(), writes).tenants == {"acme", "beta"}


@pytest.mark.parametrize("tenant", TENANTS[:-1])
async def test_a_tenant_of_any_name_is_served(repository: SqlRepository, tenant: str) -> None:
    view = repository.for_tenant(tenant)
    await view.save_session(sample(SessionRow, tenant))
    assert await view.load_sessions("name") == [sample(SessionRow, tenant)]
    assert await repository.for_tenant("another").load_sessions("name") == []


async def test_a_block_names_the_tenant_of_each_call_when_it_changes(engine: AsyncEngine) -> None:
    repository, sent = SqlRepository(engine), statements_of(engine)
    await repository.load_sessions("name")
    sent.clear()
    async with repository.transaction() as transaction:
        one, other = transaction.for_tenant("acme"), transaction.for_tenant("beta")
        for tenant in ("acme", "beta"):
            await transaction.for_tenant(tenant).save_session(sample(SessionRow, tenant))
        assert await other.load_sessions("name") == [sample(SessionRow, "beta")]
        assert await one.load_sessions("name") == [sample(SessionRow, "acme")]
    change = "SELECT set_config('axon_storage.tenants', E'{{\"{}\"}}', true)"
    begin = BEGIN.format('{"acme"}')
    assert messages(sent) == [begin, change.format("beta"), change.format("acme"), "COMMIT"]
    assert await repository.for_tenant("beta").load_sessions("name") == [sample(SessionRow, "beta")]
    await repository.close()


async def test_a_block_that_raises_stores_nothing(engine: AsyncEngine) -> None:
    repository, sent = SqlRepository(engine), statements_of(engine)
    with pytest.raises(ZeroDivisionError):
        async with repository.transaction() as transaction:
            await transaction.save_session(sample(SessionRow))
            raise ZeroDivisionError
    assert messages(sent)[-1] == "ROLLBACK"
    assert await repository.load_sessions("name") == []
    async with repository.transaction():
        pass  # a block without calls sends nothing
    await repository.close()


async def test_a_statement_that_fails_leaves_the_connection_usable(engine: AsyncEngine, secured: Secured) -> None:
    repository = SqlRepository(engine)
    async with secured.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE sessions ADD CONSTRAINT wrong CHECK (value <> 'wrong')"))
    try:
        with pytest.raises(QueryError, match="23514"):
            await repository.save_session(sample(SessionRow, value="wrong"))
        await repository.save_session(sample(SessionRow))
        assert await _open_transactions(secured) == 0
    finally:
        async with secured.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE sessions DROP CONSTRAINT wrong"))
    await repository.close()


async def test_cancelled_calls_leave_no_transaction_open_and_no_row_behind(url: str, secured: Secured) -> None:
    repository = SqlRepository(create_engine(url, pool_size=2))
    await repository.save_session(sample(SessionRow, key="first"))
    for number in range(40):
        row_id = new_id()
        calls = [
            asyncio.create_task(repository.save_session(sample(SessionRow, key=str(number)))),
            asyncio.create_task(repository.append_audit(sample(AuditRow), row_id)),
            asyncio.create_task(repository.load_sessions("name")),
        ]
        await asyncio.sleep(number / 20_000)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        await repository.save_session(sample(SessionRow, key=f"after {number}"))
    await repository.close()
    assert await _open_transactions(secured) == 0
    async with SqlRepository(create_engine(url)) as later:
        keys = {session.key for session in await later.load_sessions("name")}
        assert {"first", *(f"after {number}" for number in range(40))} <= keys


async def _open_transactions(secured: Secured) -> int:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
    )
    async with secured.engine.connect() as connection:
        return int((await connection.execute(text(query))).scalar_one())
