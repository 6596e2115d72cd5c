"""Calls beside an open ``transaction()``: of the same task, and of other tasks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from axon_storage import CacheRow, EventRow, QueryError, SessionRow, StorageBackend
from axon_storage.testing.samples import sample


def _entry(storage: StorageBackend, key: str) -> SessionRow:
    return sample(SessionRow, storage.current_tenant(), scope="s", key=key)


def _rows(storage: StorageBackend) -> list[EventRow | CacheRow]:
    return [sample(EventRow, storage.current_tenant()), sample(CacheRow, storage.current_tenant())]


OUTSIDE: dict[str, Callable[[StorageBackend], Awaitable[Any]]] = {
    "save": lambda storage: storage.save_session(_entry(storage, "outside")),
    "append": lambda storage: storage.append_event(sample(EventRow, storage.current_tenant())),
    "delete": lambda storage: storage.delete_session("s", "outside"),
    "save_many": lambda storage: storage.save_many(_rows(storage)),
    "evict": lambda storage: storage.evict_expired_cache(),
    "transaction": lambda storage: storage.transaction().__aenter__(),
}


@pytest.mark.parametrize("call", OUTSIDE.values(), ids=OUTSIDE)
async def test_a_write_outside_the_open_transaction_of_its_own_task_is_refused(
    storage: StorageBackend, call: Callable[[StorageBackend], Awaitable[Any]]
) -> None:
    async with storage.transaction() as transaction:
        await transaction.save_session(_entry(storage, "inside"))
        for outside in (storage, storage.for_tenant(storage.current_tenant())):
            with pytest.raises(QueryError, match=r"this task is inside a transaction\(\) of this storage"):
                await call(outside)
        assert await storage.load_daemons() == []  # a read is allowed
    assert await storage.get_session("s", "inside") is not None
    await storage.save_session(_entry(storage, "afterwards"))


async def test_a_write_of_another_task_beside_a_transaction_is_not_refused(storage: StorageBackend) -> None:
    async with storage.transaction() as transaction:
        await transaction.save_session(_entry(storage, "inside"))
        outside = asyncio.create_task(storage.save_session(_entry(storage, "outside")))
        await asyncio.sleep(0)
    await outside
    assert [entry.key for entry in await storage.load_sessions("s")] == ["inside", "outside"]
