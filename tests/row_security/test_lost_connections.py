"""A lost connection, and an error of another call, during the transactions of a bound account."""

import asyncio

import pytest
from sqlalchemy import text

from axon_storage import EventRow, QueryError, SessionRow, SqlRepository, open_storage, schema
from axon_storage.testing.samples import sample
from tests.accounts import run
from tests.databases import Databases
from tests.row_security.secured import Secured, owned_database

TENANT = "acme"
OTHER_SESSIONS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
# an error as if the transaction had named no tenants
TRIGGER = """CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE tags text[]; BEGIN tags := ''::text[]; RETURN NEW; END $$"""


async def test_an_idle_connection_that_the_server_closed_is_replaced(
    repository: SqlRepository, secured: Secured
) -> None:
    storage = repository.for_tenant(TENANT)
    row = sample(SessionRow, TENANT)
    for _ in range(10):
        await storage.load_sessions(row.scope)
        async with secured.engine.connect() as connection:
            await connection.execute(OTHER_SESSIONS)
        await storage.save_session(row)
        assert await storage.load_sessions(row.scope) == [row]


async def test_a_transaction_is_whole_after_an_error_of_another_call(databases: Databases, target: str) -> None:
    del target
    _superuser, owner = await owned_database(databases)
    await schema.upgrade(owner)
    trigger = "CREATE TRIGGER fail BEFORE INSERT ON event_history FOR EACH ROW EXECUTE FUNCTION fail()"
    await run(owner, [TRIGGER, trigger])
    async with open_storage(owner, retry_attempts=1) as opened:
        storage = opened.for_tenant(TENANT)
        async with storage.transaction() as transaction:
            await transaction.save_session(sample(SessionRow, TENANT, key="first"))
            with pytest.raises(QueryError):
                await asyncio.create_task(storage.append_event(sample(EventRow, TENANT)))
            await transaction.save_session(sample(SessionRow, TENANT, key="second"))
        scope = sample(SessionRow, TENANT).scope
        assert [row.key for row in await storage.load_sessions(scope)] == ["first", "second"]
