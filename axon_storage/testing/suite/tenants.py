"""Tenants: no method reaches another tenant's rows."""

import pytest

from axon_storage import (
    CacheRow,
    SessionRow,
    StorageBackend,
    TenantMismatchError,
    TraceRow,
)
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import KEYED, delete, load, store


@pytest.mark.parametrize("row_type", ROW_TYPES)
async def test_only_its_own_tenant_sees_a_row(storage: StorageBackend, row_type: type[Row]) -> None:
    tenant = storage.current_tenant()
    names = ["a", "A", "a ", "á", tenant]
    for name in names:
        await store(storage.for_tenant(name), sample(row_type, name))
    for name in names:
        assert await load(storage.for_tenant(name), row_type) == [sample(row_type, name)]
    if row_type in KEYED:
        assert await delete(storage.for_tenant("a"), sample(row_type, "a")) == 1
        for name in names[1:]:
            assert await load(storage.for_tenant(name), row_type) == [sample(row_type, name)]


async def test_gets_and_evictions_stay_within_the_tenant(storage: StorageBackend) -> None:
    a, b = storage.for_tenant("a"), storage.for_tenant("b")
    await a.save_many([sample(TraceRow, "a"), sample(SessionRow, "a"), sample(CacheRow, "a", ttl_secs=0)])
    assert await b.get_trace(7) is None
    assert await b.get_session("name", "name") is None
    assert await b.session_scopes() == []
    assert await b.delete_traces([7]) == 0
    assert await b.evict_expired_cache() == 0
    assert await a.evict_expired_cache() == 1


async def test_closing_a_view_closes_nothing(storage: StorageBackend) -> None:
    async with storage.for_tenant("acme") as view:
        await view.save_session(sample(SessionRow, "acme"))
    await view.close()
    assert await view.load_sessions("name") == [sample(SessionRow, "acme")]
    assert "acme" in await storage.tenant_ids()


@pytest.mark.parametrize("row_type", ROW_TYPES)
async def test_a_row_of_another_tenant_is_refused_and_not_rewritten(
    storage: StorageBackend, row_type: type[Row]
) -> None:
    view = storage.for_tenant("mine")
    with pytest.raises(TenantMismatchError, match=r"^tenant mismatch: \w+: .*'theirs'.*'mine'"):
        await store(view, sample(row_type, "theirs"))
    with pytest.raises(TenantMismatchError):
        await view.save_many([sample(row_type, "mine"), sample(row_type, "theirs")])
    assert await load(view, row_type) == []


async def test_the_longest_tenant_is_stored_whole(storage: StorageBackend) -> None:
    name = "🙂" * 64
    view = storage.for_tenant(name)
    await view.save_trace(sample(TraceRow, name))
    assert name in await storage.tenant_ids()
    assert await view.load_traces(1) == [sample(TraceRow, name)]


async def test_tenant_ids_finds_a_tenant_by_any_table(storage: StorageBackend) -> None:
    before = await storage.tenant_ids()
    names = [f"tenant {number:02}" for number in range(len(ROW_TYPES))]
    for name, row_type in zip(names, ROW_TYPES, strict=True):
        await store(storage.for_tenant(name), sample(row_type, name))
    assert await storage.tenant_ids() == sorted([*before, *names])
    assert await storage.for_tenant("tenant 03").tenant_ids() == await storage.tenant_ids()
