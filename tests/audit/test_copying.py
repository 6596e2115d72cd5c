"""The seals of one database verify the audit log of a copy on any other."""

import pytest

from axon_storage import InvalidArgumentError, SqlRepository
from axon_storage.audit import copy_seals, seal, verify
from axon_storage.model.ids import timestamp_of
from axon_storage.transfer import copy
from tests.audit.conftest import OTHER, TENANT, Ids, append


async def test_a_copy_on_any_database_verifies_with_the_same_seals(
    repository: SqlRepository, other: SqlRepository, ids: Ids
) -> None:
    await repository.for_tenant(TENANT).prune_audit(timestamp_of(ids[4]))
    kept = [each.seal for each in await seal(repository)]
    await copy(repository, other)
    assert [each.kind for each in (await verify(other, seals=kept)).differences] == ["seal removed"] * 2
    assert await copy_seals(repository, other) == sum(each.number for each in kept)
    assert (await verify(other, seals=kept)).is_intact
    kept += [each.seal for each in await seal(other)]
    assert (await verify(other, seals=kept)).is_intact
    await repository.for_tenant(TENANT).erase_tenant()
    await copy(other, repository, tenants=[TENANT])
    await copy_seals(other, repository, tenants=[TENANT])
    assert (await verify(repository, tenants=[TENANT], seals=kept)).is_intact


async def test_a_pruned_prefix_is_known_after_a_copy_by_the_last_seal(
    repository: SqlRepository, other: SqlRepository, ids: Ids
) -> None:
    await seal(repository)
    await repository.for_tenant(TENANT).prune_audit(timestamp_of(ids[4]))
    kept = [each.seal for each in await seal(repository)]
    await copy(repository, other)
    await copy_seals(repository, other)
    result = await verify(other, seals=kept)
    assert result.is_intact
    assert (result.tenants[0].pruned, result.tenants[0].pruned_before) == (4, timestamp_of(ids[4]))


async def test_another_chain_is_not_replaced(
    repository: SqlRepository, other: SqlRepository, past: SqlRepository, ids: Ids
) -> None:
    await seal(repository)
    assert await copy_seals(repository.for_tenant(OTHER), other) == await copy_seals(repository, other, tenants=[OTHER])
    await (
        SqlRepository(other.engine)
        .for_tenant(TENANT)
        .save_many([each async for each in past.for_tenant(TENANT).iter_audit()][:2])
    )
    await seal(other, tenants=[TENANT])
    with pytest.raises(InvalidArgumentError, match="it has other seals of tenant"):
        await copy_seals(repository, other)
    with pytest.raises(InvalidArgumentError, match="the same database"):
        await copy_seals(repository, repository)
    assert len(ids) == 10
    await append(past, TENANT, 1)
