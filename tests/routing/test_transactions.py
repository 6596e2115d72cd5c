"""transaction() of a router: one database, that of the tenant of its first call."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from axon_storage import InMemoryBackend, QueryError, StorageBackend, StorageConnectionError, TenantRouter
from axon_storage.routing.block import Block
from axon_storage.routing.storages import OpenStorages
from tests.routing.conftest import MISSING, NewFile
from tests.routing.test_routing import keys, save


async def test_a_block_over_tenants_of_one_database_commits_together(pair: TenantRouter) -> None:
    async with pair.transaction() as transaction:
        await save(transaction, "a1")
        await save(transaction, "a2")
        assert await keys(pair, "a1") == []
        assert await keys(transaction, "a1") == ["name"]
    assert await keys(pair, "a1") == await keys(pair, "a2") == ["name"]
    with pytest.raises(ZeroDivisionError):
        async with pair.transaction() as transaction:
            await save(transaction, "a1", "other")
            raise ZeroDivisionError
    assert await keys(pair, "a1") == ["name"]


async def test_a_block_over_tenants_of_two_databases_is_refused(pair: TenantRouter) -> None:
    message = "save_session: a transaction.. has one database: that of 'b1' is 'b', and it began in 'a'"
    async with pair.transaction() as transaction:
        await save(transaction, "a1")
        with pytest.raises(QueryError, match=message):
            await save(transaction, "b1")
        await save(transaction, "a1", "other")  # nothing was sent, so the block goes on
    async with pair.for_tenant("a1").transaction() as transaction:
        with pytest.raises(QueryError, match=message):
            await save(transaction, "b1")
    assert await keys(pair, "a1") == ["name", "other"]
    assert await keys(pair, "b1") == []


async def test_a_write_beside_the_block_of_its_own_task_is_refused_on_every_database(pair: TenantRouter) -> None:
    async with pair.for_tenant("a1").transaction():
        for tenant in ("a1", "b1"):
            with pytest.raises(QueryError, match=r"this task is inside a transaction\(\) of this storage"):
                await save(pair, tenant)
        with pytest.raises(QueryError, match=r"this task is inside a transaction\(\) of this storage"):
            await pair.transaction().__aenter__()
        with pytest.raises(QueryError, match="close the storage after the block"):
            await pair.close()
        assert await keys(pair, "b1") == []  # a read is allowed


async def test_tasks_of_a_block_can_make_its_first_calls_together(pair: TenantRouter) -> None:
    async with pair.transaction() as transaction:
        calls = [save(transaction, f"a{number}") for number in range(3)]
        failed = await asyncio.gather(*calls, save(transaction, "b1"), return_exceptions=True)
        assert [type(error) for error in failed] == [type(None)] * 3 + [QueryError]
    assert await pair.tenant_ids() == ["a0", "a1", "a2"]


async def test_a_block_waits_for_a_first_call_in_progress(pair: TenantRouter) -> None:
    async with pair.transaction() as transaction:
        call = asyncio.create_task(save(transaction, "a1"))
        await asyncio.sleep(0)
    await call
    assert await keys(pair, "a1") == ["name"]


async def test_a_block_that_is_cancelled_is_rolled_back(pair: TenantRouter) -> None:
    async def block() -> None:
        async with pair.transaction() as transaction:
            await save(transaction, "a1")
            begun.set()
            await asyncio.Event().wait()

    begun = asyncio.Event()
    task = asyncio.create_task(block())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await save(pair, "a1", "afterwards")
    assert await keys(pair, "a1") == ["afterwards"]


@pytest.mark.parametrize("error", [None, ZeroDivisionError(), QueryError("refused")])
async def test_a_block_ends_when_its_transaction_has_ended(error: Exception | None) -> None:
    raised: list[BaseException | None] = []

    class Slow(InMemoryBackend):
        @asynccontextmanager
        async def transaction(self) -> AsyncIterator[StorageBackend]:
            try:
                yield self
            except Exception as found:
                await asyncio.sleep(0.01)
                raised.append(found)
                raise
            await asyncio.sleep(0.01)
            raised.append(None)

    block = Block(OpenStorages(lambda _: Slow(), 1, 5))
    await block.begin("a")
    await block.end(error)
    assert len(raised) == 1
    assert (raised[0] is None) == (error is None)


async def test_a_block_that_cannot_begin_raises_the_error(new_file: NewFile) -> None:
    async with TenantRouter(new_file(), {"a": MISSING}, place=lambda _: "a") as router:
        with pytest.raises(StorageConnectionError):
            await router.for_tenant("a1").transaction().__aenter__()
        with pytest.raises(StorageConnectionError):
            async with router.transaction() as transaction:
                with suppress(StorageConnectionError):
                    await save(transaction, "a1")


async def test_an_empty_block_sends_nothing_and_a_block_ends(pair: TenantRouter) -> None:
    async with pair.transaction() as transaction:
        assert "not begun" in repr(transaction)
        assert await transaction.is_healthy()
    with pytest.raises(QueryError, match="save_session: this transaction is over"):
        await save(transaction, "a1")
    assert repr(pair) == "<TenantRouter 0 of 100 databases open>"


async def test_close_waits_for_the_block_of_another_task(pair: TenantRouter) -> None:
    async def block() -> None:
        async with pair.transaction() as transaction:
            await save(transaction, "a1")
            begun.set()
            await asyncio.sleep(0.05)
            await save(transaction, "a1", "other")

    begun = asyncio.Event()
    task = asyncio.create_task(block())
    await begun.wait()
    await pair.close()
    assert task.done()
    await task
    with pytest.raises(StorageConnectionError, match="closed"):
        await keys(pair, "a1")
