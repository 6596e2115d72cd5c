"""The cache: time to live, expiry and eviction, by the clocks of the processes that write and read."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import CacheRow, SqlRepository
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.cache import *  # noqa: F403

SECOND = 1_000_000_000


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(engine: AsyncEngine, clock: Clock) -> SqlRepository:
    return SqlRepository(engine, clock=clock)


async def test_a_ttl_of_none_never_expires(timed: SqlRepository, clock: Clock) -> None:
    await timed.save_cache_entry(sample(CacheRow, ttl_secs=None))
    clock.now += 10**10 * SECOND // 2
    assert await timed.load_cache_entries() == [sample(CacheRow, ttl_secs=None)]
    assert await timed.evict_expired_cache() == 0


@pytest.mark.parametrize("ttl_secs", [0, -1, -(2**31)])
async def test_a_ttl_of_zero_or_less_expires_at_once_even_if_the_clock_steps_back(
    timed: SqlRepository, clock: Clock, ttl_secs: int
) -> None:
    await timed.save_cache_entry(sample(CacheRow, ttl_secs=ttl_secs))
    clock.now -= 3600 * SECOND
    assert await timed.load_cache_entries() == []
    assert await timed.get_cache_entry("name", "name") is None
    assert await timed.evict_expired_cache() == 1


@pytest.mark.parametrize("ttl_secs", [1, 60, 2**31 - 1])
async def test_an_entry_expires_after_ttl_secs_to_the_microsecond(
    timed: SqlRepository, clock: Clock, ttl_secs: int
) -> None:
    entry = sample(CacheRow, ttl_secs=ttl_secs)
    await timed.save_cache_entry(entry)
    clock.now += ttl_secs * SECOND - 1000
    assert await timed.load_cache_entries() == [entry]
    assert await timed.get_cache_entry("name", "name") == entry
    assert await timed.evict_expired_cache() == 0
    clock.now += 1000
    assert await timed.load_cache_entries() == []
    assert await timed.get_cache_entry("name", "name") is None
    assert await timed.evict_expired_cache() == 1
    assert await timed.evict_expired_cache() == 0


async def test_saving_restarts_the_time_to_live(timed: SqlRepository, clock: Clock) -> None:
    entry = sample(CacheRow, ttl_secs=10)
    await timed.save_cache_entry(entry)
    clock.now += 9 * SECOND
    await timed.save_cache_entry(entry)
    clock.now += 9 * SECOND
    assert await timed.load_cache_entries() == [entry]
    await timed.save_cache_entry(sample(CacheRow, ttl_secs=None))
    clock.now += 9 * SECOND
    assert await timed.load_cache_entries() == [sample(CacheRow, ttl_secs=None)]
