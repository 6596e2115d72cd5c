"""Accounts with the rights that ``axon-storage migrate grants`` gives: what they can do, and what they cannot."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from axon_storage import AuditRow, QueryError, SessionRow, create_engine, open_storage, schema
from axon_storage.audit import seal
from axon_storage.diagnosis import diagnose
from axon_storage.model.findings import Status
from axon_storage.testing.pruning import id_at
from axon_storage.testing.samples import sample
from tests.databases import Databases

pytestmark = [
    pytest.mark.not_on("sqlite", "a file has no accounts"),
    pytest.mark.not_on("postgresql-pgbouncer", "the pooler connects as one account"),
    pytest.mark.needs_role("owner", reason="each test names the accounts that it compares"),
]

DOUBLE = pytest.mark.not_on("oracle-double", "it knows no privileges: every user is one role of its PostgreSQL")

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

SCHEMA_CHANGES = (
    "CREATE TABLE of_the_application (id INTEGER)",
    "ALTER TABLE audit_log ADD extra INTEGER",
    "DROP TABLE audit_log",
)
CHANGES = ("UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}")


async def refused(url: str, statement: str) -> bool:
    engine = create_engine(url, pool_size=1)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    except DBAPIError:
        return True
    finally:
        await engine.dispose()
    return False


async def test_the_application_opens_saves_deletes_and_appends_twice(databases: Databases, target: str) -> None:
    url = (await databases.ready(target, "app"))[0]
    async with open_storage(url) as storage:
        assert await storage.is_healthy()
        assert (await storage.health()).reasons == ()
        await storage.save_session(sample(SessionRow))
        await storage.save_session(sample(SessionRow, value="again"))
        assert await storage.delete_session("name", "name")
        row_id = await storage.append_audit(sample(AuditRow))
        assert await storage.append_audit(sample(AuditRow), row_id) == row_id
        assert await storage.query_audit(9) == [sample(AuditRow)]
        assert (await storage.stats()).revision


@DOUBLE
async def test_the_application_cannot_change_the_schema_or_what_it_has_appended(
    databases: Databases, target: str
) -> None:
    url = (await databases.ready(target, "app"))[0]
    for table in ("audit_log", "event_history", "cost_tracking"):
        for change in CHANGES:
            assert await refused(url, change.format(table)), (table, change)
    for statement in SCHEMA_CHANGES:
        assert await refused(url, statement), statement
    async with open_storage(url) as storage:
        with pytest.raises(QueryError):
            await storage.prune_audit(LONG_AGO)


@DOUBLE
async def test_doctor_accepts_the_account_of_an_application_and_refuses_those_that_cannot_save(
    databases: Databases, target: str
) -> None:
    found = {each.name: each async for each in diagnose((await databases.ready(target, "app"))[0])}
    assert [each for each in found.values() if each.status is Status.FAIL] == []
    assert "cannot prune or erase" in found["rights"].found
    assert (found["account"].status, found["account"].found) == (Status.OK, "no more than an application needs")
    for role in ("reader", "maintenance"):
        found = {each.name: each async for each in diagnose((await databases.ready(target, role))[0])}
        assert [name for name, each in found.items() if each.status is Status.FAIL] == ["rights", "durable write"]


@DOUBLE
async def test_a_migration_by_the_application_says_who_migrates(databases: Databases, target: str) -> None:
    url = (await databases.ready(target, "app"))[0]
    with pytest.raises(QueryError, match="the owner of the tables migrates"):
        await schema.downgrade(url, "-1")


@DOUBLE
async def test_a_reader_only_reads(databases: Databases, target: str) -> None:
    url = (await databases.ready(target, "reader"))[0]
    async with open_storage(url) as storage:
        assert await storage.is_healthy()
        assert (await storage.health()).reasons == ()
        assert (await storage.stats()).revision
        assert await storage.query_audit(9) == []
        with pytest.raises(QueryError):
            await storage.save_session(sample(SessionRow))
        with pytest.raises(QueryError):
            await storage.append_audit(sample(AuditRow))
    for change in (*(each.format("sessions") for each in CHANGES), *SCHEMA_CHANGES):
        assert await refused(url, change), change


async def test_maintenance_erases_and_prunes_what_the_application_has_stored(databases: Databases, target: str) -> None:
    maintenance = (await databases.ready(target, "maintenance"))[0]
    url = (await databases.ready(target, "app"))[0]
    async with open_storage(url) as storage:
        await storage.save_session(sample(SessionRow))
        await storage.append_audit(sample(AuditRow), id_at(LONG_AGO + timedelta(days=1)))
    async with open_storage(maintenance) as storage:
        assert (await storage.health()).reasons == ()
        assert (await storage.stats()).revision
        await seal(storage)
        await storage.prune_audit(LONG_AGO)
        await storage.prune_sessions(LONG_AGO)
        await storage.for_tenant("default").erase_tenant()
        assert await storage.query_audit(9) == []
        assert await storage.load_sessions("name") == []
