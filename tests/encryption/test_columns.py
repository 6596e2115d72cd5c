"""The columns of a keyring: they say what is written, and every envelope is read, counted and rotated."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import AuditRow, EventRow, SessionRow, SqlRepository, audit, open_storage
from axon_storage.encryption import Keyring, WrappedKey
from axon_storage.errors import EncryptionError
from axon_storage.rotation import key_status, require_unused, rotate
from axon_storage.testing.pruning import OLD
from axon_storage.testing.samples import sample
from tests.encryption.conftest import TENANT, Stored, keyring
from tests.pruning import clock_at

SESSION, EVENT = sample(SessionRow, TENANT, value="a document"), sample(EventRow, TENANT, payload="another")
FEWER = ["event_history.payload"]


async def test_documents_of_columns_that_are_no_longer_named_are_read_counted_and_rotated(
    storage: SqlRepository, engine: AsyncEngine
) -> None:
    await storage.for_tenant(TENANT).save_many([SESSION, EVENT])
    fewer = SqlRepository(engine, encryption=keyring("one", columns=FEWER))
    assert await fewer.for_tenant(TENANT).get_session(SESSION.scope, SESSION.key) == SESSION
    assert {use.table for use in await key_status(fewer)} == {"sessions", "event_history"}
    with pytest.raises(EncryptionError, match="needed by 2 documents"):
        await require_unused(fewer, "one")
    later = SqlRepository(engine, encryption=keyring("one", "two", columns=FEWER))
    assert await rotate(later) == 2
    await require_unused(later, "one")
    assert await later.for_tenant(TENANT).get_session(SESSION.scope, SESSION.key) == SESSION


async def test_a_document_that_is_an_envelope_is_refused_in_every_column(
    storage: SqlRepository, engine: AsyncEngine, stored: Stored
) -> None:
    await storage.for_tenant(TENANT).save_session(SESSION)
    ((envelope,),) = await stored(SessionRow)
    for each in (storage, SqlRepository(engine, encryption=keyring("one", columns=FEWER))):
        for row in (sample(SessionRow, TENANT, value=envelope), sample(EventRow, TENANT, payload=envelope)):
            with pytest.raises(EncryptionError, match="already encrypted"):
                await each.for_tenant(TENANT).save_many([row])


async def test_a_text_that_only_begins_as_an_envelope_is_a_document(
    storage: SqlRepository, plain: SqlRepository
) -> None:
    past = SqlRepository(plain.engine, clock=clock_at(OLD)).for_tenant(TENANT)
    await past.append_audit(sample(AuditRow, TENANT, detail="axon1.m.one."))
    assert [result.entries for result in await audit.seal(plain)] == [1]
    row = sample(SessionRow, TENANT, value="axon1.m.one.text")
    await storage.for_tenant(TENANT).save_session(row)
    assert await storage.for_tenant(TENANT).get_session(row.scope, row.key) == row


async def test_opening_waits_for_a_key_no_longer_than_for_a_call(url: str) -> None:
    class Silent:
        async def unwrap(self, _key_id: str, _wrapped: bytes) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

    ring = Keyring({"one": WrappedKey(b"wrapped")}, unwrapper=Silent())
    with pytest.raises(EncryptionError, match=r"not unwrapped within 0\.1 s") as refused:
        async with open_storage(url, encryption=ring, operation_timeout=0.1):
            pass
    assert refused.value.transient
