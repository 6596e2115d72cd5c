"""Encrypted documents in a database with row-level security."""

import logging

import pytest

from axon_storage import SessionRow, open_storage
from axon_storage.encryption import Keyring, MasterKey
from axon_storage.errors import EncryptionError
from axon_storage.rotation import key_status, rotate
from axon_storage.testing.samples import sample
from tests.row_security.secured import Secured

TENANT = "acme"
OLD, NEW = MasterKey(bytes(32)), MasterKey(bytes(range(32)))


async def test_a_bound_account_opens_reads_writes_and_rotates(
    secured: Secured, caplog: pytest.LogCaptureFixture
) -> None:
    row = sample(SessionRow, TENANT)
    with caplog.at_level(logging.WARNING, "axon_storage"):
        async with open_storage(secured.app, encryption=Keyring({"old": OLD})) as storage:
            await storage.for_tenant(TENANT).save_session(row)
    assert "keys_not_checked" in {getattr(record, "storage_event", None) for record in caplog.records}
    async with open_storage(secured.app, encryption=Keyring({"old": OLD, "new": NEW}, active="new")) as storage:
        assert await rotate(storage, tenants=[TENANT]) == 1
        assert [use.key_id for use in await key_status(storage, tenants=[TENANT])] == ["new"]
        assert await storage.for_tenant(TENANT).get_session(row.scope, row.key) == row


async def test_opening_as_the_maintenance_account_checks_the_keys(secured: Secured) -> None:
    async with open_storage(secured.app, encryption=Keyring({"old": OLD})) as storage:
        await storage.for_tenant(TENANT).save_session(sample(SessionRow, TENANT))
    with pytest.raises(EncryptionError, match="'old'"):
        async with open_storage(secured.maintenance, encryption=Keyring({"old": NEW})):
            pass
