"""Pruned entries are no difference; entries that are missing for another reason are."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import InvalidArgumentError, SqlRepository
from axon_storage.audit import KeptSeal, seal, verify
from axon_storage.model.ids import timestamp_of
from axon_storage.model.seals import ListSeals
from axon_storage.testing.pruning import id_at
from tests.audit.conftest import HOUR, TENANT, Ids, Sql, append


@pytest.fixture
async def kept(repository: SqlRepository, ids: Ids) -> KeptSeal:
    assert len(ids) == 10
    [result, _other] = await seal(repository)
    return result.seal


@pytest.mark.parametrize("count", [1, 3, 4, 9, 10], ids="{} pruned".format)
async def test_a_pruned_prefix_is_no_difference(
    repository: SqlRepository, kept: KeptSeal, ids: Ids, count: int
) -> None:
    before = timestamp_of(ids[count]) if count < len(ids) else timestamp_of(ids[-1]) + HOUR
    assert await repository.for_tenant(TENANT).prune_audit(before) == count
    for _ in range(2):
        result = await verify(repository, seals=[kept])
        assert result.is_intact
        [tenant, _other] = result.tenants
        assert (tenant.entries, tenant.pruned, tenant.pruned_before) == (len(ids) - count, count, before)
        await seal(repository)  # forgets the digests of what was pruned


async def test_after_a_prune_what_is_left_is_compared(
    repository: SqlRepository, kept: KeptSeal, ids: Ids, sql: Sql
) -> None:
    await repository.for_tenant(TENANT).prune_audit(timestamp_of(ids[4]))
    await seal(repository)
    await sql("DELETE FROM audit_log WHERE tenant_id = :tenant AND id = :id", tenant=TENANT, id=ids[6])
    await sql("UPDATE audit_log SET actor = 'forged' WHERE tenant_id = :tenant AND id = :id", tenant=TENANT, id=ids[4])
    inserted = await _insert_copy(sql, ids)
    result = await verify(repository, seals=[kept])
    assert [(each.kind, each.id) for each in result.differences] == [
        ("inserted", inserted),
        ("changed", ids[4]),
        ("removed", ids[6]),
    ]


async def _insert_copy(sql: Sql, ids: Ids) -> object:
    columns, inserted = "action, actor, target, detail, timestamp_utc", id_at(timestamp_of(ids[0]) - HOUR)
    await sql(
        f"INSERT INTO audit_log (tenant_id, id, {columns}) SELECT tenant_id, :new, {columns} FROM audit_log "
        "WHERE tenant_id = :tenant AND id = :id",
        new=inserted,
        tenant=TENANT,
        id=ids[8],
    )
    return inserted


async def test_the_digests_of_pruned_entries_are_deleted_by_the_next_run(
    repository: SqlRepository, engine: AsyncEngine, kept: KeptSeal, ids: Ids, sql: Sql
) -> None:
    assert kept.number == 4
    with_digests = "UPDATE axon_storage_audit_seals SET has_digests = has_digests WHERE tenant_id = :tenant AND {} "
    kept_ones = with_digests.format("has_digests = :yes")
    await repository.for_tenant(TENANT).prune_audit(timestamp_of(ids[7]))  # two seals, and an entry of the third
    assert await sql(kept_ones, tenant=TENANT, yes=True) == 4
    await seal(repository)
    assert await sql(kept_ones, tenant=TENANT, yes=True) == 3  # one was added
    assert (await verify(SqlRepository(engine), seals=[kept])).is_intact


async def test_a_removed_entry_that_no_prune_run_deleted_is_a_difference_and_its_digests_stay(
    repository: SqlRepository, kept: KeptSeal, ids: Ids, sql: Sql
) -> None:
    await repository.for_tenant(TENANT).prune_audit(timestamp_of(ids[2]))
    for row_id in ids[2:4]:
        await sql("DELETE FROM audit_log WHERE tenant_id = :tenant AND id = :id", tenant=TENANT, id=row_id)
    await seal(repository)
    result = await verify(repository, seals=[kept])
    assert [(each.kind, each.id) for each in result.differences] == [("removed", ids[2]), ("removed", ids[3])]
    assert result.tenants[0].pruned == 2


async def test_a_forged_record_is_in_the_result_and_does_not_hide_entries_that_must_be_there(
    repository: SqlRepository, kept: KeptSeal, ids: Ids, sql: Sql
) -> None:
    view = repository.for_tenant(TENANT)
    await view.prune_audit(timestamp_of(ids[0]))
    forged = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    forge = "UPDATE axon_storage_pruning SET pruned_before = :forged WHERE tenant_id = :tenant"
    await sql(forge, forged=forged, tenant=TENANT)
    await sql("DELETE FROM audit_log WHERE tenant_id = :tenant AND id = :id", tenant=TENANT, id=ids[5])
    [tenant, _other] = (await verify(repository, seals=[kept])).tenants
    assert (tenant.pruned, tenant.pruned_before) == (1, forged)
    for since, intact in ((timestamp_of(ids[5]), False), (timestamp_of(ids[6]), True)):
        assert (await verify(repository, seals=[kept], retained_since=since)).is_intact is intact
    await sql("DELETE FROM audit_log WHERE tenant_id = :tenant", tenant=TENANT)
    await seal(repository)  # deletes the digests of what the forged record says was pruned
    assert (await verify(repository, seals=[kept])).is_intact
    result = await verify(repository, seals=[kept], retained_since=timestamp_of(ids[5]))
    assert [(each.kind, each.seal, each.id) for each in result.differences] == [
        ("seal changed", 2, None),
        ("seal changed", 3, None),
        ("removed", None, ids[9]),  # of a seal that ends later, and has its digests
    ]
    for naive in (forged.replace(tzinfo=None), "2026"):
        with pytest.raises(InvalidArgumentError, match="retained_since must be a datetime with a time zone"):
            await verify(repository, retained_since=naive)  # type: ignore[arg-type]


async def test_entries_that_were_never_sealed_may_be_pruned(
    repository: SqlRepository, kept: KeptSeal, past: SqlRepository
) -> None:
    await append(repository, TENANT, 2)
    await repository.for_tenant(TENANT).prune_audit(datetime.now(UTC) + HOUR)
    result = await verify(repository, seals=[kept])
    assert result.is_intact
    assert result.tenants[0].pruned == 10
    await append(past, "third", 1)
    assert {each.tenant for each in (await verify(repository)).tenants} == {TENANT, "z"}


async def test_a_prune_run_and_a_seal_run_during_a_verification_are_no_difference(
    repository: SqlRepository, past: SqlRepository, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await append(past, TENANT, 90)
    [before] = await seal(repository)
    execute, other, later = repository.execute, SqlRepository(engine), list[KeptSeal]()

    async def run_beside(request: Any) -> Any:
        if isinstance(request, ListSeals) and request.after and not later:
            await other.for_tenant(TENANT).prune_audit(timestamp_of(ids[80]))
            later.extend(each.seal for each in await seal(other))
        return await execute(request)

    monkeypatch.setattr(repository, "execute", run_beside)
    result = await verify(repository, seals=[before.seal])
    assert result.is_intact
    assert later[0].number == before.seal.number + 1
    assert result.tenants[0].seals == before.seal.number
    assert result.tenants[0].entries + result.tenants[0].pruned == len(ids)
