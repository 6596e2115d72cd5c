"""``axon-storage migrate secure``, and the other commands on a secured database."""

import asyncio

import pytest
from sqlalchemy.engine import make_url
from typer.testing import CliRunner, Result

from axon_storage import SessionRow, open_storage, schema
from axon_storage.cli import app
from axon_storage.testing.samples import sample
from tests.databases import Databases
from tests.row_security.secured import Secured, owned_database


async def axon(url: str, *arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env={"DATABASE_URL": url})


async def test_it_is_switched_on_checked_and_switched_off(databases: Databases, target: str) -> None:
    _superuser, owner = await owned_database(databases)
    await schema.upgrade(owner)
    maintenance = await databases.account(target, owner, ["app", "maintenance"])
    role = str(make_url(maintenance).username)
    done = await axon(owner, "migrate", "secure", "--maintenance", role)
    assert (done.exit_code, done.stdout) == (0, "row-level security is on\n"), done.stderr
    checked = await axon(owner, "migrate", "check")
    assert (checked.exit_code, checked.stdout) == (0, f"{schema.head()} (head): no difference\n")
    refused = await axon(owner, "tenants", "list")
    assert refused.exit_code == 1
    assert "axon-storage migrate secure --maintenance" in refused.stderr
    assert (await axon(maintenance, "tenants", "list")).exit_code in {0, 3}
    done = await axon(owner, "migrate", "secure", "--off")
    assert (done.exit_code, done.stdout) == (0, "row-level security is off\n")


async def test_the_commands_for_one_tenant_work_for_an_account_that_is_bound(secured: Secured) -> None:
    async with open_storage(secured.app) as storage:
        await storage.for_tenant("acme").save_session(sample(SessionRow, "acme"))
    for arguments in (
        ("show", "sessions", "--tenant", "acme"),
        ("show", "traces", "--tenant", "acme"),
        ("prune", "--dry-run", "--tenant", "acme", "--sessions", "30d"),
        ("tenants", "erase", "acme", "--dry-run"),
    ):
        done = await axon(secured.whole, *arguments)
        assert done.exit_code == 0, (arguments, done.output)


async def test_another_database_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('other')}/agents.db"
    await schema.upgrade(url)
    refused = await axon(url, "migrate", "secure")
    assert refused.exit_code == 1
    assert "SQLite has no row-level security; only PostgreSQL has it" in refused.stderr


async def test_off_with_a_role_is_refused() -> None:
    refused = await axon("postgresql://h/agents", "migrate", "secure", "--off", "--maintenance", "m")
    assert (refused.exit_code, "--off" in refused.stderr) == (2, True)
