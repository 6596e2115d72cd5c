"""Somebody who can write to the database changes, moves or removes envelopes; each time the read is refused."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    AxonStoreRow,
    DataspaceRow,
    EncryptionError,
    EventRow,
    SerializationError,
    SessionRow,
    SqlRepository,
    TraceRow,
)
from axon_storage.encryption import Keyring, MasterKey
from axon_storage.encryption.columns import document_columns
from axon_storage.model.rows import ROW_TYPES
from axon_storage.sql.tables import TABLES
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import everything, load
from tests.encryption.conftest import OTHER, TENANT, Replace, Stored, keyring, long_columns

MIB = 2**20
ENCRYPTED = [row_type for row_type in ROW_TYPES if document_columns(row_type)]


async def test_every_document_is_stored_as_an_envelope_and_read_back(storage: SqlRepository, stored: Stored) -> None:
    view = storage.for_tenant(TENANT)
    rows = [sample(row_type, TENANT) for row_type in ROW_TYPES]
    await view.save_many(rows)
    assert await everything(view) == rows
    for row_type in ENCRYPTED:
        [texts] = await stored(row_type)
        for text, column in zip(texts, document_columns(row_type), strict=True):
            assert text.startswith('"axon1.m.one.' if column.is_json else "axon1.m.one.")


async def test_a_tenant_and_a_table_are_bound(storage: SqlRepository, stored: Stored, replace: Replace) -> None:
    for tenant in (TENANT, OTHER):
        await storage.for_tenant(tenant).save_many(
            [sample(SessionRow, tenant, scope="a", key="b"), sample(AxonStoreRow, tenant, name="a")]
        )
    of_tenant, of_other = [text for (text,) in await stored(SessionRow)]
    await replace(SessionRow, "value", of_other)
    await _is_refused(storage, SessionRow)
    await replace(SessionRow, "value", of_tenant)
    assert len(await load(storage.for_tenant(TENANT), SessionRow)) == 1
    (ontology, _entries), _ = await stored(AxonStoreRow)
    await replace(SessionRow, "value", ontology)
    await _is_refused(storage, SessionRow)


async def test_a_row_and_a_column_are_bound(storage: SqlRepository, stored: Stored, replace: Replace) -> None:
    view = storage.for_tenant(TENANT)
    await view.save_many([sample(DataspaceRow, TENANT, name=name) for name in "ab"])
    [(ontology, entries, associations), (_, of_b, _)] = await stored(DataspaceRow)
    assert [column.name for column in long_columns(DataspaceRow)] == ["ontology", "entries", "associations"]
    for column, text in (("entries", of_b), ("entries", associations), ("ontology", entries.strip('"'))):
        await replace(DataspaceRow, column, text, name="a")
        await _is_refused(storage, DataspaceRow)
        await replace(DataspaceRow, column, {"entries": entries, "ontology": ontology}[column], name="a")
        assert len(await load(view, DataspaceRow)) == 2


async def test_an_entry_of_an_append_only_table_is_bound_to_its_id(
    storage: SqlRepository, stored: Stored, replace: Replace
) -> None:
    view = storage.for_tenant(TENANT)
    ids = [await view.append_audit(sample(AuditRow, TENANT, detail=number)) for number in range(2)]
    (first,), (second,) = await stored(AuditRow)
    await replace(AuditRow, "detail", second, id=ids[0])
    await _is_refused(storage, AuditRow)
    with pytest.raises(EncryptionError):
        [each async for each in view.iter_audit()]
    await replace(AuditRow, "detail", first, id=ids[0])
    assert [each.row.detail async for each in view.iter_audit()] == [0, 1]


async def test_a_moved_row_is_refused(storage: SqlRepository, replace: Replace) -> None:
    await storage.for_tenant(TENANT).save_session(sample(SessionRow, TENANT))
    await replace(SessionRow, "tenant_id", OTHER)
    with pytest.raises(EncryptionError):
        await load(storage.for_tenant(OTHER), SessionRow)


async def test_an_older_document_of_the_same_place_is_not_found(
    storage: SqlRepository, stored: Stored, replace: Replace
) -> None:
    view = storage.for_tenant(TENANT)
    await view.save_session(sample(SessionRow, TENANT, value="old"))
    [(old,)] = await stored(SessionRow)
    await view.save_session(sample(SessionRow, TENANT, value="new"))
    await replace(SessionRow, "value", old)
    assert [row.value for row in await load(view, SessionRow)] == ["old"]


@pytest.mark.parametrize("row_type", ENCRYPTED, ids=lambda row_type: row_type.__name__)
async def test_plaintext_is_never_taken_for_a_document(
    storage: SqlRepository, plain: SqlRepository, row_type: Any
) -> None:
    await plain.for_tenant(TENANT).save_many([sample(row_type, TENANT)])
    await _is_refused(storage, row_type, code="value_not_encrypted")
    assert len(await load(plain.for_tenant(TENANT), row_type)) == 1


async def test_columns_that_are_not_named_are_not_encrypted(engine: AsyncEngine, stored: Stored) -> None:
    one = SqlRepository(engine, encryption=keyring("one", columns=["traces.events", "event_history.payload"]))
    view = one.for_tenant(TENANT)
    rows = [sample(row_type, TENANT) for row_type in ROW_TYPES]
    await view.save_many(rows)
    assert await everything(view) == rows
    assert [text.startswith('"axon1.') for text in (await stored(TraceRow))[0]] == [True, False]
    assert [text.startswith('"axon1.') for text in (await stored(EventRow))[0]] == [True]
    assert not [text for text in (await stored(SessionRow))[0] if "axon1." in text]


async def test_a_wrong_key_is_named_in_a_transaction_too_and_ends_it(
    storage: SqlRepository, engine: AsyncEngine
) -> None:
    await storage.for_tenant(TENANT).save_session(sample(SessionRow, TENANT, value="kept"))
    wrong = SqlRepository(engine, encryption=Keyring({"one": MasterKey.generate()}))
    with pytest.raises(EncryptionError, match="key 'one'"):
        async with wrong.for_tenant(TENANT).transaction() as transaction:
            await transaction.save_session(sample(SessionRow, TENANT, value="lost", scope="0"))
            await load(transaction, SessionRow)
    assert [row.value for row in await load(storage.for_tenant(TENANT), SessionRow)] == ["kept"]


async def test_the_largest_row_fits_and_a_larger_one_is_refused(storage: SqlRepository) -> None:
    view = storage.for_tenant(TENANT)
    largest = sample(SessionRow, TENANT, value="é" * (7 * MIB // 2))
    await view.save_session(largest)
    assert await load(view, SessionRow) == [largest]
    with pytest.raises(SerializationError):
        await view.save_session(sample(SessionRow, TENANT, value="é" * (7 * MIB // 2) + "x"))


async def _is_refused(storage: SqlRepository, row_type: Any, code: str = "value_not_authentic") -> None:
    with pytest.raises(EncryptionError, match=rf"{TABLES[row_type].name}\.") as refused:
        await load(storage.for_tenant(TENANT), row_type)
    assert refused.value.code == code
    assert refused.value.operation is not None
    assert TENANT not in str(refused.value)
