"""Row-level security as a state of the database: switched on and off, verified, and kept by migrations."""

import pytest
from sqlalchemy import text

from axon_storage import (
    EventRow,
    InvalidArgumentError,
    QueryError,
    SessionRow,
    StorageConnectionError,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.diagnosis import diagnose
from axon_storage.model.findings import Status
from axon_storage.testing.samples import sample
from tests.accounts import run
from tests.databases import Databases
from tests.row_security.secured import Secured, owned_database, secured_database

# Every table with a tenant, from the catalogue and not from the code, that lacks something.
UNSECURED = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public' AND c.relname <> 'axon_storage_version' AND NOT (
  c.relrowsecurity AND c.relforcerowsecurity
  AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'axon_storage_tenants'
    AND p.polcmd = '*' AND p.polroles = '{0}' AND p.polqual IS NOT NULL AND p.polwithcheck IS NOT NULL)
  AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'axon_storage_maintenance'
    AND p.polroles <> '{0}')
)
"""


@pytest.fixture
async def own(databases: Databases, target: str) -> Secured:
    """A secured database of this test alone."""
    assert target
    return await secured_database(databases)


async def _rows(url: str, query: str) -> list[str]:
    engine = create_engine(url, pool_size=1)
    async with engine.connect() as connection:
        found = list((await connection.execute(text(query.replace(":", r"\:")))).scalars())
    await engine.dispose()
    return found


async def test_every_table_of_every_revision_has_its_policy(own: Secured) -> None:
    assert await _rows(own.owner, UNSECURED) == []
    for revision in [each.number for each in schema.history()][-2::-1]:
        await schema.downgrade(own.owner, revision)
        assert await _rows(own.owner, UNSECURED) == []
        await schema.upgrade(own.owner)
        assert await _rows(own.owner, UNSECURED) == []
        assert await schema.differences(own.owner) == []


async def test_it_is_switched_on_and_off_again_and_can_be_repeated(own: Secured) -> None:
    await schema.secure(own.owner)  # keeps the role for maintenance
    assert await _rows(own.owner, UNSECURED) == []
    await schema.unsecure(own.owner)
    await schema.unsecure(own.owner)
    assert await schema.differences(own.owner) == []
    assert await _rows(own.owner, "SELECT polname FROM pg_policy") == []
    async with open_storage(own.app) as storage:
        assert await storage.tenant_ids() == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("ALTER TABLE traces NO FORCE ROW LEVEL SECURITY", "traces, row-level security: not forced"),
        ("ALTER TABLE traces DISABLE ROW LEVEL SECURITY", "traces, row-level security: off"),
        ("DROP POLICY axon_storage_tenants ON traces", "policy axon_storage_tenants is missing"),
        ("DROP POLICY axon_storage_maintenance ON traces", "policy axon_storage_maintenance is missing"),
        ("ALTER POLICY axon_storage_tenants ON traces USING (true)", "policy axon_storage_tenants is another one"),
        ("ALTER POLICY axon_storage_maintenance ON traces TO PUBLIC", "policy axon_storage_maintenance is another one"),
        ("CREATE POLICY hole ON traces FOR SELECT USING (true)", "policy hole permits more"),
    ],
)
async def test_check_and_doctor_find_what_is_missing(own: Secured, change: str, difference: str) -> None:
    await run(own.owner, [change])
    found = await schema.differences(own.owner)
    assert len(found) == 1
    assert difference in found[0]
    failed = [each async for each in diagnose(own.app) if each.status is Status.FAIL]
    assert [(each.name, each.found) for each in failed] == [("tables", found[0])]
    await run(own.owner, ["DROP POLICY IF EXISTS hole ON traces"])
    await schema.secure(own.owner)
    assert await schema.differences(own.owner) == []


async def test_a_restrictive_policy_of_the_operator_is_no_difference(own: Secured) -> None:
    await run(own.owner, ["CREATE POLICY more ON traces AS RESTRICTIVE USING (tenant_id <> 'nobody')"])
    assert await schema.differences(own.owner) == []


async def test_doctor_tells_whether_an_account_is_bound(own: Secured) -> None:
    found = {name: await _finding(getattr(own, name)) for name in ("app", "owner", "maintenance", "superuser")}
    assert [status for status, _ in found.values()] == [Status.OK, Status.OK, Status.OK, Status.WARN]
    assert "the tenants that a call names" in found["app"][1]
    assert found["owner"] == found["app"]
    assert "every tenant" in found["maintenance"][1]
    assert "SUPERUSER" in found["superuser"][1]
    await run(own.superuser, [f"ALTER ROLE {create_engine(own.app).url.username} BYPASSRLS"])
    status, text_of_app = await _finding(own.app)
    assert (status, "BYPASSRLS" in text_of_app) == (Status.WARN, True)
    await schema.unsecure(own.owner)
    assert await _finding(own.superuser) == (Status.OK, "off")


async def _finding(url: str) -> tuple[Status, str]:
    found = {each.name: each async for each in diagnose(url)}
    assert [each for each in found.values() if each.status is Status.FAIL] == []
    return found["row-level security"].status, found["row-level security"].found


async def test_a_storage_goes_on_while_it_is_switched_on_and_off(databases: Databases, target: str) -> None:
    assert target
    _superuser, owner = await owned_database(databases)
    await schema.upgrade(owner)
    async with open_storage(owner) as storage:
        for number in range(3):
            view = storage.for_tenant("acme")
            await view.append_event(sample(EventRow, "acme"))
            await view.save_session(sample(SessionRow, "acme", key=str(number)))
            async with view.transaction() as transaction:
                await transaction.append_event(sample(EventRow, "acme"))
            assert len(await view.query_events(None, 9)) == 2 * number + 2
            assert len(await view.load_sessions("name")) == number + 1
            assert await storage.is_healthy()
            await (schema.unsecure(owner) if number else schema.secure(owner))
        with pytest.raises(QueryError, match="every tenant"):
            await storage.tenant_ids()  # it names its tenants until it is opened again
    async with open_storage(owner) as storage:
        assert await storage.tenant_ids() == ["acme"]


async def test_without_a_retry_the_call_that_meets_it_first_says_to_repeat_it(
    databases: Databases, target: str
) -> None:
    assert target
    _superuser, owner = await owned_database(databases)
    await schema.upgrade(owner)
    async with open_storage(owner, retry_attempts=1) as storage:
        await storage.append_event(sample(EventRow))
        await schema.secure(owner)
        with pytest.raises(QueryError, match="has named no tenant: repeat the call") as refused:
            await storage.append_event(sample(EventRow))
        assert refused.value.transient
        await storage.append_event(sample(EventRow))
        assert len(await storage.query_events(None, 9)) == 2


async def test_an_upgrade_of_a_secured_database_creates_secured_tables(own: Secured) -> None:
    async with open_storage(own.maintenance) as storage:
        await storage.for_tenant("acme").save_session(sample(SessionRow, "acme"))
    await schema.downgrade(own.owner, "0003")
    await schema.upgrade(own.owner)
    async with open_storage(own.app) as storage:
        assert await storage.for_tenant("acme").load_sessions("name") == [sample(SessionRow, "acme")]


async def test_a_database_without_the_schema_is_refused(databases: Databases, target: str) -> None:
    with pytest.raises(StorageConnectionError, match="has no schema"):
        await schema.secure(await databases.empty(target))


async def test_only_the_owner_of_the_tables_switches_it_on(own: Secured) -> None:
    with pytest.raises(QueryError, match="the owner of the tables"):
        await schema.secure(own.app)


@pytest.mark.parametrize("role", ["", "public", "a" * 64, "nobody\n"])
async def test_a_role_that_cannot_be_used_is_refused(own: Secured, role: str) -> None:
    with pytest.raises(InvalidArgumentError, match="maintenance"):
        await schema.secure(own.owner, maintenance=role)


async def test_another_database_is_refused(databases: Databases) -> None:
    url = await databases.empty("sqlite")
    await schema.upgrade(url)
    for change in (schema.secure, schema.unsecure):
        with pytest.raises(InvalidArgumentError, match="SQLite has no row-level security; only PostgreSQL has it"):
            await change(url)
