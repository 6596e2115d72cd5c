"""Copies, exports, comparisons and seals of encrypted documents."""

from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import AuditRow, EncryptionError, EventRow, SessionRow, SqlRepository
from axon_storage.audit import seal
from axon_storage.audit import verify as verify_audit
from axon_storage.model.rows import ROW_TYPES
from axon_storage.rotation import key_status, rotate
from axon_storage.testing.pruning import OLD
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import everything
from axon_storage.transfer import copy, export, import_, verify
from tests.databases import SERVERS
from tests.encryption.conftest import TENANT, keyring
from tests.pruning import clock_at

MARK = "MARKED PLAINTEXT"


@pytest.fixture(params=SERVERS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def filled(storage: SqlRepository) -> SqlRepository:
    """The storage, with a row of each type, and marked texts."""
    view = storage.for_tenant(TENANT)
    await view.save_many(sample(row_type, TENANT) for row_type in ROW_TYPES)
    await view.save_session(sample(SessionRow, TENANT, key="marked", value=MARK))
    await view.append_event(sample(EventRow, TENANT, payload=[MARK]))
    return storage


async def test_a_copy_without_keyrings_moves_the_envelopes(filled: SqlRepository, other: AsyncEngine) -> None:
    source, target = SqlRepository(filled.engine), SqlRepository(other)
    await copy(source, target)
    assert (await verify(source, target)).is_equal
    moved = SqlRepository(other, encryption=keyring("one"))
    assert await everything(moved.for_tenant(TENANT)) == await everything(filled.for_tenant(TENANT))
    assert (await verify(filled, moved)).is_equal


async def test_a_copy_between_keyrings_encrypts_anew_and_compares_what_was_encrypted(
    filled: SqlRepository, other: AsyncEngine
) -> None:
    target = SqlRepository(other, encryption=keyring("two", columns=["sessions.value"]))
    await copy(filled, target)
    assert (await verify(filled, target)).is_equal
    assert {(use.table, use.key_id) for use in await key_status(target)} == {("sessions", "two")}
    assert await everything(target.for_tenant(TENANT)) == await everything(filled.for_tenant(TENANT))
    await target.for_tenant(TENANT).save_session(sample(SessionRow, TENANT, key="marked", value="other"))
    [difference] = (await verify(filled, target)).first_differences
    assert (difference.table, difference.columns) == ("sessions", ("value", "updated_at"))
    assert not (await verify(SqlRepository(filled.engine), SqlRepository(other))).is_equal


async def test_a_copy_from_plaintext_encrypts_and_one_to_plaintext_decrypts(
    plain: SqlRepository, other: AsyncEngine
) -> None:
    await plain.for_tenant(TENANT).save_many(sample(row_type, TENANT) for row_type in ROW_TYPES)
    encrypted = SqlRepository(other, encryption=keyring("one"))
    await copy(plain, encrypted)
    assert (await verify(plain, encrypted)).is_equal
    assert {use.key_id for use in await key_status(encrypted)} == {"one"}
    async with plain.engine.begin() as connection:
        for row_type in ROW_TYPES:
            await connection.exec_driver_sql(f"DELETE FROM {row_type.TABLE}")
    await copy(encrypted, plain)
    assert await everything(plain.for_tenant(TENANT)) == [sample(row_type, TENANT) for row_type in ROW_TYPES]


async def test_an_envelope_is_not_encrypted_a_second_time(filled: SqlRepository, other: AsyncEngine) -> None:
    target = SqlRepository(other, encryption=keyring("two"))
    with pytest.raises(EncryptionError, match="already encrypted: give the keyring of the source") as refused:
        await copy(SqlRepository(filled.engine), target)
    assert refused.value.code == "value_encrypted"
    assert await target.tenant_ids() == []


async def test_an_export_has_plaintext_with_a_keyring_and_envelopes_without(
    filled: SqlRepository, other: AsyncEngine, tmp_path: Path
) -> None:
    clear, sealed = tmp_path / "clear.jsonl", tmp_path / "sealed.jsonl"
    await export(filled, clear)
    await export(SqlRepository(filled.engine), sealed)
    assert clear.read_text(encoding="utf-8").count(MARK) == 2
    assert MARK not in sealed.read_text(encoding="utf-8")
    moved = SqlRepository(other, encryption=keyring("one"))
    await import_(SqlRepository(other), sealed)
    assert await everything(moved.for_tenant(TENANT)) == await everything(filled.for_tenant(TENANT))
    await import_(moved, clear)
    assert await everything(moved.for_tenant(TENANT)) == await everything(filled.for_tenant(TENANT))
    assert (await verify(filled, moved)).is_equal


async def test_seals_are_of_what_was_encrypted_and_stay_valid_after_a_rotation(
    plain: SqlRepository, engine: AsyncEngine
) -> None:
    past = SqlRepository(engine, encryption=keyring("one"), clock=clock_at(OLD))
    for number in range(3):
        await past.for_tenant(TENANT).append_audit(sample(AuditRow, TENANT, detail=number))
    both = SqlRepository(engine, encryption=keyring("one", "two"))
    with pytest.raises(EncryptionError, match=r"audit_log\.detail is encrypted"):
        await seal(plain)
    kept = [result.seal for result in await seal(both)]
    assert (await verify_audit(both, seals=kept)).is_intact
    assert await rotate(both) == 3
    assert (await verify_audit(both, seals=kept)).is_intact
    with pytest.raises(EncryptionError, match=r"audit_log\.detail is encrypted") as refused:
        await verify_audit(plain)
    assert refused.value.code == "value_encrypted"


async def test_a_seal_of_plaintext_is_valid_after_its_encryption(plain: SqlRepository, engine: AsyncEngine) -> None:
    past = SqlRepository(engine, clock=clock_at(OLD))
    await past.for_tenant(TENANT).append_audit(sample(AuditRow, TENANT, detail={"é": [1.0, 1e2]}))
    kept = [result.seal for result in await seal(plain)]
    storage = SqlRepository(engine, encryption=keyring("one"))
    assert await rotate(storage, from_plaintext=True) == 1
    assert (await verify_audit(storage, seals=kept)).is_intact
