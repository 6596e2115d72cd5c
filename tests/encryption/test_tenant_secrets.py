"""Secrets of tenants: erasing one erases the documents of a tenant in the database and in every copy of it."""

import asyncio
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from time import monotonic
from traceback import TracebackException
from typing import cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    EncryptionError,
    InvalidArgumentError,
    SessionRow,
    SqlRepository,
    open_storage,
)
from axon_storage.encryption import TenantSecretDirectory
from axon_storage.encryption import cipher as module
from axon_storage.rotation import key_status, rotate
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import load
from tests.encryption.conftest import OTHER, TENANT, keyring

CHECKOUT = Path(__file__).parents[2]

ROW = sample(SessionRow)


@pytest.fixture
def target() -> str:
    return "sqlite"


async def _save(storage: SqlRepository, *tenants: str) -> None:
    for tenant in tenants:
        await storage.for_tenant(tenant).save_session(sample(SessionRow, tenant))


async def test_an_erased_secret_makes_the_documents_of_a_backup_unreadable(
    secrets: TenantSecretDirectory, tmp_path: Path
) -> None:
    file, backup = tmp_path / "agents.db", tmp_path / "backup.db"
    ring = keyring("one", tenant_secrets=secrets)
    async with open_storage(f"sqlite:///{file}", encryption=ring) as storage:
        for tenant in (TENANT, OTHER):
            await storage.for_tenant(tenant).save_session(sample(SessionRow, tenant))
    shutil.copyfile(file, backup)
    async with open_storage(f"sqlite:///{backup}", encryption=ring) as storage:
        assert await load(storage.for_tenant(TENANT), SessionRow) == [sample(SessionRow, TENANT)]
    assert await secrets.erase(TENANT)
    assert not await secrets.erase(TENANT)
    for name in (file, backup):
        async with open_storage(f"sqlite:///{name}", encryption=ring) as storage:
            with pytest.raises(EncryptionError, match="key 'one' needs the secret of the tenant") as refused:
                await load(storage.for_tenant(TENANT), SessionRow)
            assert refused.value.code == "tenant_secret_missing"
            assert await load(storage.for_tenant(OTHER), SessionRow) == [sample(SessionRow, OTHER)]


async def test_a_tenant_that_comes_back_gets_a_new_secret(engine: AsyncEngine, secrets: TenantSecretDirectory) -> None:
    storage = SqlRepository(engine, encryption=keyring("one", tenant_secrets=secrets))
    await _save(storage, TENANT)
    first = await secrets.get(TENANT)
    await secrets.erase(TENANT)
    again = SqlRepository(engine, encryption=keyring("one", tenant_secrets=secrets))
    await again.for_tenant(TENANT).save_session(sample(SessionRow, TENANT, key="new"))
    assert await secrets.get(TENANT) not in {None, first}
    view = again.for_tenant(TENANT)
    assert await view.get_session(ROW.scope, "new") == sample(SessionRow, TENANT, key="new")
    with pytest.raises(EncryptionError) as refused:
        await view.get_session(ROW.scope, ROW.key)
    assert refused.value.code == "value_not_authentic"


async def test_a_running_storage_forgets_an_erased_secret(
    engine: AsyncEngine, secrets: TenantSecretDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = SqlRepository(engine, encryption=keyring("one", tenant_secrets=secrets))
    await _save(storage, TENANT)
    now = monotonic()
    await secrets.erase(TENANT)
    assert len(await load(storage.for_tenant(TENANT), SessionRow)) == 1  # for 60 seconds
    monkeypatch.setattr("axon_storage.encryption.cipher.monotonic", lambda: now + module.SECRET_SECONDS + 1)
    with pytest.raises(EncryptionError):
        await load(storage.for_tenant(TENANT), SessionRow)


async def test_a_read_that_looked_before_the_first_write_does_not_forget_its_secret(
    engine: AsyncEngine, secrets: TenantSecretDirectory
) -> None:
    looked, written = asyncio.Event(), asyncio.Event()

    class Slow:
        async def get(self, tenant: str) -> bytes | None:
            found = await secrets.get(tenant)
            looked.set()
            await written.wait()
            return found

        async def create(self, tenant: str) -> bytes:
            return await secrets.create(tenant)

        async def erase(self, tenant: str) -> bool:
            return await secrets.erase(tenant)

    storage = SqlRepository(engine, encryption=keyring("one", tenant_secrets=Slow()))
    reading = asyncio.create_task(storage.for_tenant(TENANT).get_session(ROW.scope, ROW.key))
    await looked.wait()
    await _save(storage, TENANT)
    written.set()
    assert await reading == sample(SessionRow, TENANT)


async def test_a_read_makes_no_secret(engine: AsyncEngine, secrets: TenantSecretDirectory) -> None:
    storage = SqlRepository(engine, encryption=keyring("one", tenant_secrets=secrets))
    assert await load(storage.for_tenant(TENANT), SessionRow) == []
    await storage.for_tenant(TENANT).delete_session("a", "b")
    assert await secrets.get(TENANT) is None


async def test_another_directory_of_secrets_prevents_opening(tmp_path: Path, secrets: TenantSecretDirectory) -> None:
    url = f"sqlite:///{tmp_path / 'agents.db'}"
    async with open_storage(url, encryption=keyring("one", tenant_secrets=secrets)) as storage:
        await storage.for_tenant(TENANT).save_session(sample(SessionRow, TENANT))
    empty = TenantSecretDirectory.initialize(tmp_path / "empty")
    with pytest.raises(EncryptionError, match=r"open: sessions\.value: key 'one' needs the secret"):
        async with open_storage(url, encryption=keyring("one", tenant_secrets=empty)):
            pass


async def test_secrets_can_be_added_and_removed_by_a_rotation(
    engine: AsyncEngine, secrets: TenantSecretDirectory
) -> None:
    await _save(SqlRepository(engine, encryption=keyring("one")), TENANT, OTHER)
    storage = SqlRepository(engine, encryption=keyring("one", tenant_secrets=secrets))
    assert await load(storage.for_tenant(TENANT), SessionRow) == [sample(SessionRow, TENANT)]
    assert [(use.tenant_secret, use.is_active) for use in await key_status(storage)] == [(False, False)]
    assert await rotate(storage) == 2
    assert [(use.tenant_secret, use.is_active) for use in await key_status(storage)] == [(True, True)]
    with pytest.raises(EncryptionError, match="needs the secret"):
        await load(SqlRepository(engine, encryption=keyring("one")).for_tenant(TENANT), SessionRow)


async def test_secrets_that_cannot_be_read_fail_the_call_and_write_nothing(
    engine: AsyncEngine, plain: SqlRepository
) -> None:
    class Failing:
        async def get(self, _tenant: str) -> bytes | None:
            raise OSError("secret text")

        async def create(self, _tenant: str) -> bytes:
            return b"short"

        async def erase(self, _tenant: str) -> bool:
            return False

    storage = SqlRepository(engine, encryption=keyring("one", tenant_secrets=Failing()))
    with pytest.raises(EncryptionError, match=r"save_session: .* \(too short, or not bytes\)") as refused:
        await _save(storage, TENANT)
    assert refused.value.code == "tenant_secret_unavailable"
    with pytest.raises(EncryptionError, match=r"load_sessions: .* \(OSError\)"):
        await storage.for_tenant(TENANT).load_sessions(ROW.scope)
    assert await plain.tenant_ids() == []


async def test_a_directory_that_is_gone_gives_no_new_secrets(
    engine: AsyncEngine, secrets: TenantSecretDirectory, tmp_path: Path
) -> None:
    (tmp_path / "secrets").rename(tmp_path / "unmounted")
    (tmp_path / "secrets").mkdir(mode=0o700)
    storage = SqlRepository(engine, encryption=keyring("one", tenant_secrets=secrets))
    with pytest.raises(EncryptionError, match="FileNotFoundError"):
        await _save(storage, TENANT)
    assert list((tmp_path / "secrets").iterdir()) == []


async def test_a_secret_that_is_no_bytes_is_refused_and_not_shown(engine: AsyncEngine) -> None:
    class Texts:
        async def get(self, _tenant: str) -> bytes | None:
            return None

        async def create(self, _tenant: str) -> bytes:
            return cast("bytes", "a secret that is a text")

        async def erase(self, _tenant: str) -> bool:
            return False

    with pytest.raises(EncryptionError, match="not bytes") as refused:
        await _save(SqlRepository(engine, encryption=keyring("one", tenant_secrets=Texts())), TENANT)
    report = TracebackException.from_exception(refused.value, capture_locals=True)
    assert "that is a text" not in "".join(report.format())


def test_a_directory_is_made_only_on_purpose_and_only_for_its_owner(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="is no directory of tenant secrets"):
        TenantSecretDirectory(tmp_path / "missing")
    TenantSecretDirectory.initialize(tmp_path / "made")
    TenantSecretDirectory.initialize(tmp_path / "made")
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700
    (tmp_path / "made").chmod(0o750)
    with pytest.raises(InvalidArgumentError, match="other users can use"):
        TenantSecretDirectory(tmp_path / "made")


_CREATE = """
import asyncio, sys
from axon_storage.encryption import TenantSecretDirectory

async def main():
    secrets = TenantSecretDirectory(sys.argv[1])
    sys.stdin.read(1)
    made = await asyncio.gather(*(secrets.create(f"{number // 4}") for number in range(400)))
    print(",".join(each.hex() for each in made))

asyncio.run(main())
"""


async def test_several_processes_make_the_same_secrets(secrets: TenantSecretDirectory, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CREATE, str(tmp_path / "secrets")]
    children = [
        subprocess.Popen(command, cwd=CHECKOUT, text=True, stdin=PIPE, stdout=PIPE)  # noqa: ASYNC220  # does not block
        for _ in range(3)
    ]
    outputs = await asyncio.gather(*(asyncio.to_thread(child.communicate, "x") for child in children))
    assert {child.returncode for child in children} == {0}
    [output] = {output for output, _ in outputs}
    made = output.strip().split(",")
    assert [len(set(made[at : at + 4])) for at in range(0, 400, 4)] == [1] * 100
    assert len(set(made)) == 100
    found = [each for each in (tmp_path / "secrets").iterdir() if each.stat().st_size == 32]
    assert len(found) == 100
    assert {stat.S_IMODE(each.stat().st_mode) for each in found} == {0o600}
    assert not list((tmp_path / "secrets").glob(".*.part"))
    assert await secrets.get("0") == bytes.fromhex(made[0])
