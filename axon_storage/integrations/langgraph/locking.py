"""The lock of a thread, which orders its deletions and its copies, and shows puts that values may be deleted now.

A put stores no channel values that did not change: it refers to those of its parent. A deletion that has read the
checkpoints before the put was committed may delete these values. A put cannot wait for a lock, because it may share a
transaction with puts into other threads. Instead:

1. A deletion commits the entry ``LOCK``. Then it deletes this entry in the transaction in which it reads checkpoints
   and deletes values. Until that is committed, all others see the entry.
2. A put that refers to values reads, after its own commit, its parent and ``LOCK`` with one statement.

If the deletion read the checkpoints after the put was committed, it keeps the values. Otherwise the put reads after
that, and sees the entry ``LOCK``; or, when the deletion is committed, that a parent with these values is gone, because
values are deleted only with all their checkpoints. In both cases the put takes the lock, and stores the values that are
missing again.

The deletion of a whole thread does not commit the entry first: :func:`exclusive`. It is repeated until the thread has
no entries, so that it also deletes a checkpoint whose put did not see it. A put that is committed after the last
repetition sees that its parent is gone.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from axon_storage.backend import StorageBackend
from axon_storage.integrations.langgraph.records import LOCK
from axon_storage.model.rows import SessionRow
from axon_storage.transaction import Transaction


@asynccontextmanager
async def locked(storage: StorageBackend, scope: str) -> AsyncIterator[StorageBackend]:
    """Open a transaction that has the lock of a thread. On a transaction, puts do not see the lock."""
    if isinstance(storage, Transaction):
        async with exclusive(storage, scope) as transaction:
            await transaction.delete_session(scope, LOCK)
            yield transaction
        return
    while True:
        await storage.save_session(_lock(scope))
        async with storage.transaction() as transaction:
            # It does not exist if another one has deleted it meanwhile: then puts do not see it.
            if await transaction.delete_session(scope, LOCK):
                yield transaction
                return


@asynccontextmanager
async def exclusive(storage: StorageBackend, scope: str) -> AsyncIterator[StorageBackend]:
    """Open a transaction that has the lock of a thread, which puts do not see. The caller deletes ``LOCK`` in it."""
    if isinstance(storage, Transaction):
        await storage.save_session(_lock(scope))
        yield storage
        return
    async with storage.transaction() as transaction:
        await transaction.save_session(_lock(scope))
        yield transaction


def _lock(scope: str) -> SessionRow:
    return SessionRow(scope=scope, key=LOCK, value="", source_step="")
