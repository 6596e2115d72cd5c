"""The methods of a storage for cached results."""

from axon_storage.backend.calls import RequestMethods
from axon_storage.model.requests import EvictExpired
from axon_storage.model.rows import CacheRow


class CacheMethods(RequestMethods):
    """Methods that save, read, delete and evict cached results."""

    async def save_cache_entry(self, entry: CacheRow) -> None:
        """Store a result, or replace the one with the same flow and key; its time to live starts now."""
        await self._save("save_cache_entry", CacheRow, [entry])

    async def load_cache_entries(self) -> list[CacheRow]:
        """Return all results that have not expired, ordered by flow and key."""
        return await self._list_by_key("load_cache_entries", CacheRow)

    async def get_cache_entry(self, flow_name: str, cache_key: str) -> CacheRow | None:
        """Return one result, or None if there is none or it has expired."""
        return await self._get("get_cache_entry", CacheRow, flow_name, cache_key)

    async def delete_cache_entry(self, flow_name: str, cache_key: str) -> bool:
        """Delete a result, expired or not, and return whether it existed."""
        return await self._delete("delete_cache_entry", CacheRow, flow_name, last=[cache_key]) > 0

    async def evict_expired_cache(self) -> int:
        """Delete the expired results, and return their number."""
        return await self.execute(
            EvictExpired(operation="evict_expired_cache", tenant=self.current_tenant(), row_type=CacheRow)
        )
