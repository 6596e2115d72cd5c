"""``tenants where`` and ``tenants move``."""

import json
from pathlib import Path

import pytest

from axon_storage import SessionRow, TenantRouter
from axon_storage.testing.samples import sample
from tests.cli.conftest import Axon

pytestmark = pytest.mark.parametrize("target", ["sqlite"])


@pytest.fixture
async def folder(tmp_path: Path, url: str) -> Path:
    """A folder with a file for each of two tenants, and a file that names the databases."""
    async with TenantRouter(url, f"sqlite:///{tmp_path}/{{tenant}}.db", catalogue_seconds=0.01) as router:
        for tenant in ("acme", "globex"):
            await router.for_tenant(tenant).save_session(sample(SessionRow, tenant))
    names = f'new = "sqlite:///{tmp_path}/server.db"\n"*" = "sqlite:///{tmp_path}/{{tenant}}.db"\n'
    (tmp_path / "databases.toml").write_text(names)
    return tmp_path


@pytest.mark.usefixtures("folder")
async def test_tenants_are_found(axon: Axon) -> None:
    found = await axon("tenants", "where")
    assert [line.split() for line in found.stdout.splitlines()[1:]] == [
        ["acme", "acme", "active"],
        ["globex", "globex", "active"],
    ]
    found = await axon("tenants", "where", "globex", "--json")
    assert json.loads(found.stdout) == {
        "tenant": "globex", "database": "globex", "version": 1, "state": "active", "other": "",
    }  # fmt: skip
    missing = await axon("tenants", "where", "nobody")
    assert (missing.exit_code, missing.stderr) == (3, "the catalogue has no tenant 'nobody'\n")


async def test_a_tenant_is_moved_and_moved_back(axon: Axon, folder: Path) -> None:
    databases = str(folder / "databases.toml")
    for to in ("new", "acme"):
        moved = await axon("tenants", "move", "acme", "--to", to, "--databases", databases)
        assert moved.exit_code == 0, moved.output
        lines = moved.stdout.splitlines()
        assert lines[:2] == [f"tenant 'acme' is in '{to}'", "1 rows copied, 1 rows deleted in the other database"]
        assert moved.stderr.split() == ["copying", "…", "waiting", "…", "comparing", "…", "deleting", "…"]
        assert (await axon("tenants", "where", "acme")).stdout.split()[-2] == to
    again = await axon("tenants", "move", "acme", "--to", "acme", AXON_STORAGE_DATABASES=databases)
    assert (again.exit_code, again.stderr) == (3, "tenant 'acme' is in 'acme' already\n")


async def test_databases_that_cannot_be_used_are_refused(axon: Axon, folder: Path) -> None:
    file = folder / "wrong.toml"
    for text, message in (
        (None, "No such file or directory"),
        ("postgresql://ada:secret@db1", "is not TOML: it has a line such as"),
        ("a = 1", "a in .* is not a URL in quotation marks"),
        ('a = "mongodb://ada:secret@db1/agents"', "scheme://user:password@host/name"),
    ):
        if text is not None:
            file.write_text(text)
        refused = await axon("tenants", "move", "acme", "--to", "new", "--databases", str(file))
        assert refused.exit_code in {1, 2}
        assert "secret" not in refused.output + refused.stderr
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(refused.stderr)
    unknown = await axon("tenants", "move", "nobody", "--to", "new", "--databases", str(folder / "databases.toml"))
    assert (unknown.exit_code, "'nobody' is not in the catalogue: correct the name" in unknown.stderr) == (1, True)
