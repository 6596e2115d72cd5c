"""The cache: time to live, expiry and eviction, by the clocks of the processes that write and read."""

from axon_storage import CacheRow, StorageBackend
from axon_storage.testing.samples import sample


async def test_eviction_counts_expired_entries_and_keeps_the_others(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    expired = [sample(CacheRow, tenant, cache_key=f"expired {n}", ttl_secs=0) for n in range(7)]
    alive = [sample(CacheRow, tenant, cache_key=f"alive {n}", ttl_secs=n) for n in (None, 3600)]
    await storage.save_many([*expired, *alive])
    assert await storage.evict_expired_cache() == 7
    assert {entry.cache_key for entry in await storage.load_cache_entries()} == {"alive None", "alive 3600"}


async def test_an_expired_entry_can_be_deleted_and_saved_again(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.save_cache_entry(sample(CacheRow, tenant, ttl_secs=0))
    assert await storage.delete_cache_entry("name", "name")
    await storage.save_cache_entry(sample(CacheRow, tenant, ttl_secs=-5))
    await storage.save_cache_entry(sample(CacheRow, tenant, ttl_secs=5000))
    assert await storage.load_cache_entries() == [sample(CacheRow, tenant, ttl_secs=5000)]
