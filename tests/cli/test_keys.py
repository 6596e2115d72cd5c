"""``axon-storage keys``, and ``--keyring`` of the commands that read documents."""

import json
import stat
from base64 import b64decode
from pathlib import Path

import pytest

from axon_storage import AuditRow, EventRow, SessionRow, SqlRepository
from axon_storage.encryption.files import read_keyring
from axon_storage.testing.pruning import OLD
from axon_storage.testing.samples import sample
from tests.cli.conftest import Axon, row_of
from tests.databases import Databases
from tests.pruning import clock_at

TENANT = "acme ☕'"


@pytest.fixture
async def file(tmp_path: Path, axon: Axon) -> Path:
    """A keyring file with the key ``one``."""
    made = tmp_path / "keyring.json"
    assert (await axon("keys", "generate", str(made), "one")).exit_code == 0
    return made


@pytest.fixture
async def storage(repository: SqlRepository, file: Path) -> SqlRepository:
    made = SqlRepository(repository.engine, encryption=read_keyring(file))
    await made.for_tenant(TENANT).save_session(sample(SessionRow, TENANT))
    await made.for_tenant(TENANT).append_event(sample(EventRow, TENANT, payload="MARKED"))
    return made


async def test_a_key_is_added_activated_rotated_and_retired(axon: Axon, storage: SqlRepository, file: Path) -> None:
    keyring = ("--keyring", str(file))
    assert (await axon("keys", "rotate", *keyring)).exit_code == 3
    assert (await axon("keys", "add", str(file), "two")).exit_code == 0
    assert (await axon("keys", "status", *keyring)).exit_code == 0
    assert (await axon("keys", "activate", str(file), "two")).exit_code == 0
    status = await axon("keys", "status", *keyring)
    assert status.exit_code == 3
    assert "2 documents do not have the active key" in status.stderr
    refused = await axon("keys", "retire", str(file), "one")
    assert (refused.exit_code, "needed by 2 documents" in refused.stderr) == (1, True)
    assert read_keyring(file).key_ids == ("one", "two")
    assert (await axon("keys", "retire", str(file), "two")).exit_code == 1  # it is active
    rotated = await axon("keys", "rotate", AXON_STORAGE_KEYRING=str(file))
    assert (rotated.exit_code, rotated.stdout) == (0, "2 rows changed\n")
    status = await axon("keys", "status", *keyring, "--json")
    assert [(use["table"], use["key_id"], use["documents"]) for use in json.loads(status.stdout)] == [
        ("event_history", "two", 1),
        ("sessions", "two", 1),
    ]
    assert (await axon("keys", "retire", str(file), "one")).exit_code == 0
    assert read_keyring(file).key_ids == ("two",)
    assert len(await storage.tenant_ids()) == 1


async def test_no_command_prints_a_key(axon: Axon, tmp_path: Path) -> None:
    file = tmp_path / "new.json"
    results = [
        await axon("keys", "generate", str(file), "one", "--tenant-secrets", "secrets"),
        await axon("keys", "generate", str(file), "one"),
        await axon("keys", "add", str(file), "two"),
        await axon("keys", "add", str(file), "two"),
        await axon("keys", "activate", str(file), "three"),
        await axon("keys", "retire", str(file), "three"),
        await axon("keys", "status", "--keyring", str(file)),
        await axon("keys", "erase-tenant", TENANT, "--yes", "--keyring", str(file)),
    ]
    assert [result.exit_code for result in results] == [0, 1, 0, 1, 1, 1, 3, 3]
    keys = json.loads(file.read_text(encoding="utf-8"))["keys"]
    assert {len(b64decode(key)) for key in keys.values()} == {32}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not [key for key in keys.values() for result in results if key in result.output]


async def test_plaintext_is_encrypted_by_a_command(axon: Axon, repository: SqlRepository, file: Path) -> None:
    await repository.for_tenant(TENANT).save_session(sample(SessionRow, TENANT))
    refused = await axon("keys", "rotate", "--keyring", str(file))
    assert (refused.exit_code, "--from-plaintext" in refused.stderr) == (1, True)
    assert (await axon("keys", "rotate", "--keyring", str(file), "--from-plaintext")).exit_code == 0
    assert (await axon("keys", "status", "--keyring", str(file))).exit_code == 0


async def test_a_tenants_secret_is_erased(axon: Axon, repository: SqlRepository, tmp_path: Path) -> None:
    file = tmp_path / "new.json"
    await axon("keys", "generate", str(file), "one", "--tenant-secrets", "secrets")
    storage = SqlRepository(repository.engine, encryption=read_keyring(file))
    for tenant in (TENANT, "z"):
        await storage.for_tenant(tenant).save_session(sample(SessionRow, tenant))
    refused = await axon("keys", "erase-tenant", "z", "--keyring", str(file))
    assert (refused.exit_code, "--yes" in refused.stderr) == (1, True)  # it asks, and here is no terminal
    assert (await axon("keys", "erase-tenant", "z", "--yes", "--keyring", str(file))).exit_code == 0
    shown = await axon("show", "sessions", "--tenant", "z", "--keyring", str(file))
    assert (shown.exit_code, "needs the secret of the tenant" in shown.stderr) == (1, True)
    assert (await axon("show", "sessions", "--tenant", TENANT, "--keyring", str(file))).exit_code == 0


async def test_the_commands_that_read_documents_take_a_keyring(
    axon: Axon, storage: SqlRepository, file: Path, databases: Databases, tmp_path: Path
) -> None:
    options = ("--tenant", TENANT, "--keyring", str(file))
    shown = await axon("show", "sessions", *options, "--json")
    assert row_of(SessionRow, shown.stdout) == sample(SessionRow, TENANT)
    assert "MARKED" in (await axon("tail", *options)).stdout
    assert "MARKED" not in (await axon("tail", "--tenant", TENANT)).stdout
    past = SqlRepository(storage.engine, encryption=storage.encryption, clock=clock_at(OLD))
    await past.for_tenant(TENANT).append_audit(sample(AuditRow, TENANT))
    assert (await axon("audit", "seal")).exit_code == 1
    assert (await axon("audit", "seal", *options)).exit_code == 0
    assert (await axon("audit", "verify", *options)).exit_code == 0
    out, target = tmp_path / "rows.jsonl", await databases.empty("sqlite")
    assert (await axon("export", str(out), *options)).exit_code == 0
    assert "MARKED" in out.read_text(encoding="utf-8")
    source = storage.engine.url.render_as_string(hide_password=False)
    copied = await axon("copy", source, target, "--source-keyring", str(file), "--json")
    assert (copied.exit_code, json.loads(copied.stdout)["verified"]) == (0, True)
    assert "MARKED" in (await axon("tail", "--tenant", TENANT, url=target)).stdout
    assert (await axon("verify", source, target)).exit_code == 3
    assert (await axon("verify", source, target, "--source-keyring", str(file))).exit_code == 0
    imported = await axon("import", str(out), "--yes", "--keyring", str(file))
    assert imported.exit_code == 0
    assert (await axon("keys", "status", "--keyring", str(file))).exit_code == 0
