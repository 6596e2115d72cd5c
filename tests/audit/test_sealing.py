"""What a run seals, and what it leaves."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    InMemoryBackend,
    InvalidArgumentError,
    QueryError,
    Recorded,
    SqlRepository,
    TenantMismatchError,
)
from axon_storage.audit import KeptSeal, seal, verify
from axon_storage.model.ids import timestamp_of
from axon_storage.testing.pruning import OLD, id_at
from axon_storage.testing.samples import sample
from tests.audit.conftest import HOUR, OTHER, TENANT, Ids, append
from tests.pruning import clock_at


async def test_entries_up_to_15_minutes_ago_are_sealed(repository: SqlRepository, ids: Ids) -> None:
    await append(repository, TENANT, 2)  # now
    results = await seal(repository)
    assert [(each.seal.tenant, each.entries) for each in results] == [(TENANT, len(ids)), (OTHER, 4)]
    until = results[0].seal.until
    assert timedelta(minutes=15) <= datetime.now(UTC) - until < timedelta(minutes=16)
    assert (await verify(repository)).tenants[0].until == until


async def test_entries_that_are_appended_later_are_not_covered_and_no_difference(
    repository: SqlRepository, ids: Ids
) -> None:
    [kept, _other] = [each.seal for each in await seal(repository)]
    await append(repository, TENANT, 2)
    result = await verify(repository, seals=[kept])
    assert result.is_intact
    assert result.tenants[0].entries == len(ids)


async def test_a_later_run_seals_what_is_not_sealed_yet(engine: AsyncEngine, past: SqlRepository, ids: Ids) -> None:
    in_between = SqlRepository(engine, clock=clock_at(OLD + HOUR))
    [first, _other] = await seal(in_between)
    assert (first.entries, first.seal.number) == (len(ids), 4)  # three entries in each seal, one in the last
    await append(in_between, TENANT, 4)
    now = SqlRepository(engine)
    [second, other] = await seal(now)
    assert (second.entries, second.seal.number) == (4, 6)
    assert (other.entries, other.seal.number) == (0, 3)  # without entries: that nothing was appended is sealed too
    assert [each.entries for each in await seal(now)] == [0, 0]
    assert (await verify(now, seals=[first.seal, second.seal])).is_intact
    assert past.engine is engine


async def test_an_entry_that_arrives_after_its_time_was_sealed_is_inserted(repository: SqlRepository, ids: Ids) -> None:
    await seal(repository)
    view = repository.for_tenant(TENANT)
    by_id = await view.append_audit(sample(AuditRow, TENANT), id=id_at(OLD + HOUR))
    recorded = id_at(OLD + 2 * HOUR)
    await view.save_many([Recorded(row=sample(AuditRow, TENANT), id=recorded, timestamp=timestamp_of(recorded))])
    differences = (await verify(repository)).differences
    assert [(each.kind, each.id) for each in differences] == [("inserted", by_id), ("inserted", recorded)]
    assert not set(ids) & {by_id, recorded}


async def test_tenants_without_entries_are_left_out_until_they_have_seals(
    engine: AsyncEngine, past: SqlRepository
) -> None:
    now = SqlRepository(engine)
    assert await seal(now) == []
    assert await seal(now, tenants=["nobody"]) == []
    await append(now, TENANT, 1)  # now: too late to be sealed
    assert await seal(now) == []
    await append(past, OTHER, 1)
    assert [each.seal.tenant for each in await seal(now)] == [OTHER]
    assert (await verify(now)).tenants[0].seals == 1


async def test_two_runs_at_once_make_one_chain(repository: SqlRepository, ids: Ids) -> None:
    runs = await asyncio.gather(*(seal(repository) for _ in range(4)), return_exceptions=True)
    failed = [run for run in runs if isinstance(run, BaseException)]
    assert all(isinstance(error, QueryError) and error.transient for error in failed)
    assert len(failed) < len(runs)
    result = await verify(repository)
    assert result.is_intact
    assert result.tenants[0].entries == len(ids)


async def test_a_cancelled_run_is_continued_by_the_next(repository: SqlRepository, past: SqlRepository) -> None:
    await append(past, TENANT, 60)
    pages = 0

    def stop(_progress: object) -> None:
        nonlocal pages
        pages += 1
        if pages == 5:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await seal(repository, progress=stop)
    partial = await verify(repository)
    assert partial.is_intact
    assert 0 < partial.tenants[0].entries < 60
    [result] = await seal(repository)
    assert result.entries == 60 - partial.tenants[0].entries
    assert (await verify(repository, seals=[result.seal])).tenants[0].entries == 60


async def test_nothing_else_changes_in_the_database(repository: SqlRepository, ids: Ids) -> None:
    before = [each async for each in repository.for_tenant(TENANT).iter_audit()]
    await seal(repository)
    await verify(repository)
    assert [each async for each in repository.for_tenant(TENANT).iter_audit()] == before
    assert [each.id for each in before] == ids


async def test_seals_are_erased_with_their_tenant(repository: SqlRepository, ids: Ids) -> None:
    [kept, _other] = [each.seal for each in await seal(repository)]
    counts = await repository.for_tenant(TENANT).erase_tenant()
    assert (counts["audit_log"], counts["axon_storage_audit_seals"]) == (len(ids), kept.number)
    assert [each.tenant for each in (await verify(repository)).tenants] == [OTHER]
    with pytest.raises(InvalidArgumentError, match="there are no seals of tenant"):
        await verify(repository, tenants=[TENANT])


async def test_wrong_storages_and_tenants_are_refused(repository: SqlRepository, ids: Ids) -> None:
    for function in (seal, verify):
        with pytest.raises(InvalidArgumentError, match="InMemoryBackend has no database"):
            await function(InMemoryBackend())
        with pytest.raises(InvalidArgumentError, match="a string is not a list"):
            await function(repository, tenants=TENANT)
        with pytest.raises(TenantMismatchError, match="view of another tenant"):
            await function(repository.for_tenant(TENANT), tenants=[OTHER])
    assert ids


def test_a_kept_seal_is_a_line_of_json() -> None:
    kept = KeptSeal(tenant=TENANT, number=1, until=OLD, sealed_at=OLD + HOUR, hash="ab", signature="cd")
    line = kept.to_json()
    assert "\n" not in line
    assert KeptSeal.from_json(line) == KeptSeal.from_json(line.encode()) == kept
    assert KeptSeal.read(["", f"{line}\n", "\n"]) == [kept]
    for bad in ("", "1", "[]", "{}", line.replace("1", "true", 2), line[:-1], line.replace("+00:00", "")):
        with pytest.raises(InvalidArgumentError, match=r"line 2: not a seal: pass a line"):
            KeptSeal.read([line, bad or "x"])
