"""The SQL of the page about row-level security: a role for each tenant, and programs of others."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from markdown_it import MarkdownIt
from sqlalchemy.engine import make_url

from axon_storage import SessionRow, open_storage, schema
from axon_storage.sql.tables import metadata
from axon_storage.testing.samples import sample
from tests.accounts import SECRET, run
from tests.databases import Databases
from tests.docs.pages import ROOT
from tests.row_security.secured import as_role, secured_database

PAGE = (ROOT / "docs/how-to/row-security.md").read_text(encoding="utf-8")
FOR_ALL, FOR_ONE, BY_HAND = [each.content for each in MarkdownIt().parse(PAGE) if each.info == "sql"]


class Tenants:
    """A secured database with two tenants and, by the SQL of the page, a role for the first one."""

    def __init__(self) -> None:
        name = uuid4().hex[:12]
        self.own, self.other, self.readers = f"own_{name}", f"other_{name}", f"readers_{name}"

    async def create(self, databases: Databases) -> None:
        secured = await secured_database(databases)
        async with open_storage(secured.app) as storage:
            for tenant in (self.own, self.other):
                await storage.for_tenant(tenant).save_session(sample(SessionRow, tenant))
        for script in (FOR_ALL, FOR_ONE):
            names = script.replace("tenant_readers", self.readers).replace("acme", self.own)
            await _execute(secured.superuser, names.replace("…", SECRET))
        self.superuser, self.owner, self.app = secured.superuser, secured.owner, secured.app
        self.url = as_role(secured.superuser, self.own)


@pytest.fixture
async def tenants(databases: Databases, target: str) -> AsyncIterator[Tenants]:
    assert target
    made = Tenants()
    await made.create(databases)
    yield made
    await run(made.superuser, [f"DROP OWNED BY {each}" for each in (made.own, made.readers)])
    await run(made.superuser, [f"DROP ROLE {each}" for each in (made.own, made.readers)])


async def _connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))


async def _execute(url: str, script: str) -> None:
    connection = await _connect(url)
    await connection.execute(script)
    await connection.close()


async def test_the_role_of_a_tenant_reads_its_rows_and_no_others(tenants: Tenants) -> None:
    connection = await _connect(tenants.url)
    found = "SELECT DISTINCT tenant_id FROM sessions"
    assert [row[0] for row in await connection.fetch(found)] == [tenants.own]
    for value in (tenants.other, f"{tenants.own},{tenants.other}"):
        await connection.execute(f"SET axon_storage.tenants = '{{{value}}}'")
        assert {row[0] for row in await connection.fetch(found)} <= {tenants.own}
    for table in metadata.tables:
        await connection.fetch(f"SELECT * FROM {table}")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"DELETE FROM {table}")
    await connection.close()
    assert await schema.differences(tenants.owner) == []


async def test_a_program_names_its_tenants(tenants: Tenants) -> None:
    connection = await _connect(tenants.app)
    *statements, _commit, _end = BY_HAND.replace("acme", tenants.own).replace("globex", tenants.other).split(";\n")
    for statement in statements[:-1]:
        await connection.execute(statement)
    assert await connection.fetchval(statements[-1]) == 1
    await connection.execute("ROLLBACK")
    with pytest.raises(asyncpg.PostgresError, match='malformed array literal: ""'):
        await connection.fetch(statements[-1])
    await connection.close()
