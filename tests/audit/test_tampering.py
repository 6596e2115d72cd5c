"""Each way to change a sealed audit log is found, and the entry named."""

from datetime import timedelta
from uuid import UUID

import pytest

from axon_storage import SqlRepository
from axon_storage.audit import AuditDifference, seal, verify
from axon_storage.model.ids import timestamp_of
from axon_storage.testing.pruning import OLD, id_at
from tests.audit.conftest import HOUR, OTHER, TENANT, Ids, Sql

CHANGES = {
    "action": "forged",
    "actor": "",
    "target": "a ",
    "detail": '{"n": 4}',  # the same JSON value with another text
    "timestamp_utc": OLD + timedelta(microseconds=1),
}
OF_ENTRY = "WHERE tenant_id = :tenant AND id = :id"


@pytest.fixture
async def sealed(repository: SqlRepository, ids: Ids) -> Ids:
    await seal(repository)
    return ids


async def found(repository: SqlRepository) -> list[tuple[str, UUID | None]]:
    """Verify; return the kinds and ids of the differences, which are all of one tenant."""
    result = await verify(repository)
    assert {tenant.tenant for tenant in result.tenants} == {TENANT, OTHER}
    assert {difference.tenant for difference in result.differences} <= {TENANT}
    return [(difference.kind, difference.id) for difference in result.differences]


async def test_an_audit_log_that_was_not_changed_is_intact(repository: SqlRepository, sealed: Ids) -> None:
    result = await verify(repository)
    assert result.is_intact
    assert [(each.tenant, each.entries, each.pruned, each.unknown) for each in result.tenants] == [
        (TENANT, len(sealed), 0, 0),
        (OTHER, 4, 0, 0),
    ]


@pytest.mark.parametrize("column", CHANGES)
async def test_a_changed_column_of_an_entry_is_found(
    repository: SqlRepository, sealed: Ids, sql: Sql, column: str
) -> None:
    changed = sealed[4]
    new = {column: CHANGES[column]}
    assert await sql(f"UPDATE audit_log SET {column} = :{column} {OF_ENTRY}", tenant=TENANT, id=changed, **new) == 1
    result = await verify(repository)
    assert result.differences == (
        AuditDifference(tenant=TENANT, kind="changed", id=changed, timestamp=timestamp_of(changed)),
    )
    assert "forged" not in repr(result)


async def test_removed_entries_are_found(repository: SqlRepository, sealed: Ids, sql: Sql) -> None:
    for index in (0, 4, 9):
        await sql(f"DELETE FROM audit_log {OF_ENTRY}", tenant=TENANT, id=sealed[index])
    assert await found(repository) == [("removed", sealed[index]) for index in (0, 4, 9)]


async def test_a_log_without_any_entry_is_found(repository: SqlRepository, sealed: Ids, sql: Sql) -> None:
    await sql("DELETE FROM audit_log WHERE tenant_id = :tenant", tenant=TENANT)
    assert await found(repository) == [("removed", row_id) for row_id in sealed]


async def test_inserted_entries_are_found(repository: SqlRepository, sealed: Ids, sql: Sql) -> None:
    columns = "action, actor, target, detail, timestamp_utc"
    before, between, after = id_at(OLD - HOUR), UUID(int=sealed[4].int + 1), id_at(OLD + HOUR)
    for new in (before, between, after):
        await sql(
            f"INSERT INTO audit_log (tenant_id, id, {columns}) SELECT tenant_id, :new, {columns} FROM audit_log "
            f"{OF_ENTRY}",
            new=new,
            tenant=TENANT,
            id=sealed[4],
        )
    assert await found(repository) == [("inserted", before), ("inserted", between), ("inserted", after)]


async def test_entries_that_have_swapped_their_ids_are_reordered(
    repository: SqlRepository, sealed: Ids, sql: Sql
) -> None:
    one, two, spare = sealed[3], sealed[5], id_at(OLD + HOUR)
    for old, new in ((one, spare), (two, one), (spare, two)):
        await sql(f"UPDATE audit_log SET id = :new {OF_ENTRY}", new=new, tenant=TENANT, id=old)
    assert await found(repository) == [("reordered", one), ("reordered", two)]


async def test_an_entry_with_another_id_in_its_seal_is_reordered(
    repository: SqlRepository, sealed: Ids, sql: Sql
) -> None:
    moved = UUID(int=sealed[4].int + 1)
    await sql(f"UPDATE audit_log SET id = :new {OF_ENTRY}", new=moved, tenant=TENANT, id=sealed[3])
    assert await found(repository) == [("reordered", moved)]


async def test_an_entry_with_an_id_in_another_seal_is_removed_there_and_inserted_here(
    repository: SqlRepository, sealed: Ids, sql: Sql
) -> None:
    moved = UUID(int=sealed[9].int + 1)
    await sql(f"UPDATE audit_log SET id = :new {OF_ENTRY}", new=moved, tenant=TENANT, id=sealed[0])
    assert await found(repository) == [("removed", sealed[0]), ("inserted", moved)]


async def test_swapped_timestamps_are_changes_of_both(repository: SqlRepository, sealed: Ids, sql: Sql) -> None:
    for one, two in ((sealed[3], sealed[4]), (sealed[4], sealed[3])):
        new = timestamp_of(two)
        await sql(f"UPDATE audit_log SET timestamp_utc = :new {OF_ENTRY}", new=new, tenant=TENANT, id=one)
    assert await found(repository) == [("changed", sealed[3]), ("changed", sealed[4])]


@pytest.mark.not_on("citus", "it refuses to change the tenant of a row")
async def test_an_entry_that_is_given_to_another_tenant_is_found_in_both(
    repository: SqlRepository, sealed: Ids, sql: Sql
) -> None:
    await sql(f"UPDATE audit_log SET tenant_id = :new {OF_ENTRY}", new=OTHER, tenant=TENANT, id=sealed[4])
    differences = (await verify(repository)).differences
    assert [(each.tenant, each.kind, each.id) for each in differences] == [
        (TENANT, "removed", sealed[4]),
        (OTHER, "inserted", sealed[4]),
    ]


async def test_the_differences_of_one_tenant_do_not_affect_another(
    repository: SqlRepository, sealed: Ids, sql: Sql
) -> None:
    await sql(f"DELETE FROM audit_log {OF_ENTRY}", tenant=TENANT, id=sealed[4])
    assert (await verify(repository, tenants=[OTHER])).is_intact
    assert (await verify(repository.for_tenant(OTHER))).is_intact
    assert not (await verify(repository.for_tenant(TENANT))).is_intact
