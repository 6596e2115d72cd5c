"""Calls that read the rows of every tenant: refused with a remedy, and possible with the role for maintenance."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from axon_storage import (
    AuditRow,
    EncryptionError,
    InvalidArgumentError,
    QueryError,
    SessionRow,
    SqlRepository,
    create_engine,
    open_storage,
)
from axon_storage.audit import seal
from axon_storage.audit import verify as verify_audit
from axon_storage.encryption import Keyring, MasterKey
from axon_storage.testing.samples import sample
from axon_storage.transfer import copy, export, verify
from tests.databases import Databases
from tests.row_security.secured import Secured

REFUSED = r"reads the rows of every tenant.*axon-storage migrate secure --maintenance"

Step = Callable[[str, str], Awaitable[object]]


async def _tenant_ids(url: str, _other: str) -> object:
    async with open_storage(url) as storage:
        return await storage.tenant_ids()


async def _stats(url: str, _other: str) -> object:
    async with open_storage(url) as storage:
        return await storage.stats()


STEPS: dict[str, Step] = {
    "tenant_ids": _tenant_ids,
    "stats": _stats,
    "copy": copy,
    "verify": verify,
    "export": lambda url, other: export(url, f"{other.removeprefix('sqlite:///')}.jsonl"),
    "seal": lambda url, _other: seal(url),
    "verify the seals": lambda url, _other: verify_audit(url),
}


@pytest.fixture
async def other(secured: Secured, databases: Databases) -> str:
    """Another database, with the schema; the secured one has rows of two tenants."""
    async with SqlRepository(create_engine(secured.superuser)) as repository:
        for tenant in ("acme", "beta"):
            await repository.for_tenant(tenant).save_session(sample(SessionRow, tenant))
            await repository.for_tenant(tenant).append_audit(sample(AuditRow, tenant))
    url = await databases.empty("sqlite")
    async with open_storage(url):
        return url


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_an_account_that_is_bound_is_refused(secured: Secured, other: str, step: Step) -> None:
    with pytest.raises(QueryError, match=REFUSED) as refused:
        await step(secured.whole, other)
    assert not refused.value.transient


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_the_role_for_maintenance_is_not(secured: Secured, other: str, step: Step) -> None:
    await step(secured.maintenance, other)


async def test_the_calls_for_one_tenant_work_for_an_account_that_is_bound(
    secured: Secured, other: str, tmp_path: Path
) -> None:
    for tenants in (["acme"], ["acme", "beta"]):
        assert (await copy(secured.app, other, tenants=tenants)).rows == 2 * len(tenants)
        assert (await verify(secured.app, other, tenants=tenants)).is_equal
    await export(secured.app, tmp_path / "acme.jsonl", tenants=["acme"])
    assert await seal(secured.whole, tenants=["acme"]) == []  # the entry is too new
    with pytest.raises(InvalidArgumentError, match="no seals of tenant 'acme'"):
        await verify_audit(secured.whole, tenants=["acme"])
    async with open_storage(secured.whole) as storage:
        counts = await storage.for_tenant("acme").erase_tenant()
        assert counts["sessions"] == 1
        assert await storage.for_tenant("beta").load_sessions("name") == [sample(SessionRow, "beta")]


async def test_a_transaction_refuses_them_too(secured: Secured) -> None:
    async with open_storage(secured.app) as storage:
        with pytest.raises(QueryError):
            async with storage.transaction() as transaction:
                await transaction.tenant_ids()


async def test_a_storage_with_encryption_opens_and_a_wrong_key_is_found_by_the_first_read(secured: Secured) -> None:
    right, wrong = (Keyring({"k": MasterKey(bytes([byte]) * 32)}) for byte in (1, 2))
    async with open_storage(secured.app, encryption=right) as storage:
        view = storage.for_tenant("acme")
        await view.append_audit(sample(AuditRow, "acme"))
        assert await view.query_audit(1) == [sample(AuditRow, "acme")]
    async with open_storage(secured.app, encryption=wrong) as storage:
        with pytest.raises(EncryptionError):
            await storage.for_tenant("acme").query_audit(1)
    with pytest.raises(EncryptionError):
        async with open_storage(secured.maintenance, encryption=wrong):
            pass
