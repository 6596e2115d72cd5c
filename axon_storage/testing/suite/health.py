"""health(): says that an open storage can be used, like is_healthy()."""

import asyncio

from axon_storage import SessionRow, StorageBackend
from axon_storage.testing.samples import sample


async def test_an_open_storage_is_healthy_and_ready_for_no_reason(storage: StorageBackend) -> None:
    health = await storage.health()
    assert health.reasons == ()
    assert health.healthy
    assert health.ready
    assert health.seconds >= 0
    assert await storage.is_healthy()


async def test_views_and_transactions_have_the_health_of_their_storage(storage: StorageBackend) -> None:
    assert (await storage.for_tenant("b").health()).reasons == ()
    async with storage.transaction() as transaction:
        assert (await transaction.health()).reasons == ()
        await transaction.save_session(sample(SessionRow, storage.current_tenant()))  # the check did not end it


async def test_checks_can_run_at_the_same_time_and_be_cancelled(storage: StorageBackend) -> None:
    checks = [asyncio.create_task(storage.health()) for _ in range(6)]
    await asyncio.sleep(0)
    for check in checks[::2]:
        check.cancel()
    await asyncio.wait(checks)
    assert [(await check).reasons for check in checks[1::2]] == [()] * 3
    assert (await storage.health()).reasons == ()
