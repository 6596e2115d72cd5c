"""The state of the connection pool of an engine."""

from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import QueuePool

from axon_storage.model.stats import PoolStats


def pool_stats(engine: AsyncEngine) -> PoolStats | None:
    """Return the state of an engine's pool, or None if it is a pool without a size."""
    pool = engine.sync_engine.pool
    if not isinstance(pool, QueuePool):
        return None
    return PoolStats(size=pool.size(), in_use=pool.checkedout(), overflow=max(0, pool.overflow()))
