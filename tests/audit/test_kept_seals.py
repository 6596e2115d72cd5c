"""A change of the seals themselves is found by the chain, or by a seal that was kept elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from axon_storage import InvalidArgumentError, SqlRepository
from axon_storage.audit import KeptSeal, seal, verify
from axon_storage.sql.tables import audit_seals
from axon_storage.testing.pruning import OLD, id_at
from tests.audit.conftest import HOUR, OTHER, TENANT, Ids, Sql, key_files

SEALS = "axon_storage_audit_seals"
OF_SEAL = "WHERE tenant_id = :tenant AND seal_number = :number"
FORGED: dict[str, Any] = {
    "first_id": id_at(OLD - HOUR),
    "end_id": id_at(OLD),
    "entries": 2,
    "pruned_before": OLD - HOUR,
    "sealed_at": OLD,
    "previous_hash": "0" * 64,
    "digests_hash": "0" * 64,
    "seal_hash": "0" * 64,
    "digests": "AAAA",
}


@pytest.fixture
async def kept(repository: SqlRepository, ids: Ids) -> KeptSeal:
    """The last of the four seals of the ten entries of a tenant."""
    assert len(ids) == 10
    [result, _other] = await seal(repository)
    return result.seal


async def found(repository: SqlRepository, *kept: KeptSeal) -> list[tuple[str, int | None]]:
    result = await verify(repository, seals=kept)
    assert {difference.tenant for difference in result.differences} <= {TENANT}
    return [(difference.kind, difference.seal) for difference in result.differences]


@pytest.mark.parametrize("column", FORGED)
async def test_a_changed_seal_is_found(repository: SqlRepository, kept: KeptSeal, sql: Sql, column: str) -> None:
    new = FORGED[column]
    assert await sql(f"UPDATE {SEALS} SET {column} = :new {OF_SEAL}", new=new, tenant=TENANT, number=2) == 1
    differences = await found(repository)
    assert ("seal changed", 2) in differences
    assert {number for _kind, number in differences} <= {1, 2}
    result = await verify(repository, tenants=[TENANT], seals=[kept])
    assert result.tenants[0].unknown == 3


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_removed_seal_is_found(repository: SqlRepository, kept: KeptSeal, sql: Sql, number: int) -> None:
    await sql(f"DELETE FROM {SEALS} {OF_SEAL}", tenant=TENANT, number=number)
    assert await found(repository) == await found(repository, kept) == [("seal removed", number)]
    assert (await verify(repository)).tenants[0].unknown == 3


async def test_the_last_seals_are_missed_by_a_kept_seal_only(
    repository: SqlRepository, kept: KeptSeal, sql: Sql
) -> None:
    await sql(f"DELETE FROM {SEALS} {OF_SEAL}", tenant=TENANT, number=kept.number)
    assert await found(repository) == []
    assert await found(repository, kept) == [("seal removed", kept.number)]


async def test_without_any_seal_a_kept_seal_is_missed(repository: SqlRepository, kept: KeptSeal, sql: Sql) -> None:
    await sql(f"DELETE FROM {SEALS} WHERE tenant_id = :tenant", tenant=TENANT)
    assert [each.tenant for each in (await verify(repository)).tenants] == [OTHER]
    assert await found(repository, kept) == [("seal removed", kept.number)]


async def test_seals_that_were_computed_anew_are_found_by_a_kept_seal_only(
    repository: SqlRepository, kept: KeptSeal, ids: Ids, sql: Sql
) -> None:
    await sql("UPDATE audit_log SET actor = 'forged' WHERE tenant_id = :tenant AND id = :id", tenant=TENANT, id=ids[4])
    await sql(f"DELETE FROM {SEALS} WHERE tenant_id = :tenant", tenant=TENANT)
    assert (await seal(repository, tenants=[TENANT]))[0].seal.number == kept.number
    assert await found(repository) == []
    assert await found(repository, kept) == [("seal not as kept", kept.number)]


async def test_one_seal_that_was_computed_anew_does_not_fit_into_the_chain(
    repository: SqlRepository, kept: KeptSeal, ids: Ids, sql: Sql
) -> None:
    later = select(audit_seals).where(audit_seals.c.tenant_id == TENANT, audit_seals.c.seal_number > 2)
    async with repository.engine.connect() as connection:
        stored = [dict(row._mapping) for row in await connection.execute(later)]
    await sql("DELETE FROM audit_log WHERE tenant_id = :tenant AND id = :id", tenant=TENANT, id=ids[4])
    await sql(f"DELETE FROM {SEALS} WHERE tenant_id = :tenant AND seal_number > 1", tenant=TENANT)
    await seal(repository, tenants=[TENANT])
    await sql(f"DELETE FROM {SEALS} WHERE tenant_id = :tenant AND seal_number > 2", tenant=TENANT)
    async with repository.engine.begin() as connection:
        await connection.execute(insert(audit_seals), stored)
    assert ("seal changed", 2) in await found(repository, kept)


async def test_seals_of_several_runs_are_compared(repository: SqlRepository, kept: KeptSeal) -> None:
    later = [each.seal for each in await seal(repository)]
    assert (await verify(repository, seals=[kept, *later, kept])).is_intact
    wrong = replace(kept, hash="0" * 64)
    assert await found(repository, wrong, *later) == [("seal not as kept", kept.number)]
    assert await found(repository, kept, wrong, *later) == [("seal not as kept", kept.number)]


async def test_a_signature_is_checked(repository: SqlRepository, ids: Ids, keys: tuple[Path, Path]) -> None:
    private, public = keys
    signed = [each.seal for each in await seal(repository, signing_key=private)]
    assert (await verify(repository, seals=signed, verification_key=public)).is_intact
    assert (await verify(repository, seals=signed)).is_intact
    assert len(ids) == 10
    one = signed[0]
    forged = (
        replace(one, signature=None),
        replace(one, signature="00" * 64),
        replace(one, signature="no"),
        replace(one, until=one.until + HOUR),
        replace(one, sealed_at=OLD),
    )
    for each in forged:
        result = await verify(repository, seals=[each], verification_key=public)
        assert [(found.kind, found.seal) for found in result.differences] == [("wrong signature", one.number)]


async def test_the_signature_of_another_key_is_wrong(
    repository: SqlRepository, ids: Ids, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    assert ids
    other_private, _public = key_files(tmp_path, "other")
    signed = [each.seal for each in await seal(repository, signing_key=other_private)]
    result = await verify(repository, seals=signed, verification_key=keys[1])
    assert [(each.tenant, each.kind) for each in result.differences] == [
        (TENANT, "wrong signature"),
        (OTHER, "wrong signature"),
    ]


async def test_files_that_have_no_key_are_refused(
    repository: SqlRepository, keys: tuple[Path, Path], tmp_path: Path, kept: KeptSeal
) -> None:
    private, public = keys
    empty = tmp_path / "empty.pem"
    empty.write_text("secret")
    for file, message in ((public, "no Ed25519 private key"), (empty, "no Ed25519"), (tmp_path / "no", "No such file")):
        with pytest.raises(InvalidArgumentError, match=message) as refused:
            await seal(repository, signing_key=file)
        assert "secret" not in str(refused.value)
    with pytest.raises(InvalidArgumentError, match="no Ed25519 public key"):
        await verify(repository, seals=[kept], verification_key=private)
    with pytest.raises(InvalidArgumentError, match="there are no seals"):
        await verify(repository, verification_key=public)
