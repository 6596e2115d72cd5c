"""Sender: commits several writes in one transaction.

Rules:

1. The timeout of the transaction is the latest deadline of its callers plus ``grace_seconds``. When an earlier deadline
   passes, the scheduler cancels the batch.
2. The transaction waits for a lock only for the dialect's short lock timeout, because it holds locks on the rows of
   other callers. If the dialect's ``locks_rows_first()`` returns True, because this timeout is missing or too long, the
   transaction locks its rows first, with NOWAIT. A single batch waits for a lock until its caller times out.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from axon_storage.engine.executor import Executor
from axon_storage.engine.group_commit.batch import Batch, QueuedWrite
from axon_storage.engine.group_commit.places import Places
from axon_storage.errors import StorageConnectionError
from axon_storage.sql.compiler import Compiler

_OPERATION = "group commit"


class Sender:
    """Sends the writes of batches. ``open_transactions``: the number of open ``transaction()`` blocks."""

    def __init__(self, executor: Executor, compiler: Compiler, places: Places) -> None:
        self._executor, self._compiler, self._places = executor, compiler, places
        self.open_transactions = 0

    def transactions(self, writes: Sequence[QueuedWrite]) -> Iterable[Sequence[QueuedWrite]]:
        """Return the writes of each transaction that :meth:`send` has to send."""
        return self._places.by_shard(writes)

    async def send(self, batch: Batch, writes: Sequence[QueuedWrite]) -> list[Any]:
        """Commit some or all writes of a batch in one transaction, and return their results."""
        monitor = self._executor.monitor
        with monitor.group_commit([queued.call for queued in writes] if monitor.observers else ()):
            seconds = max([queued.deadline for queued in writes]) - asyncio.get_running_loop().time()
            batch.deadline = self._executor.deadline(seconds + self._executor.grace_seconds, own_task=True)
            contended = self.open_transactions > 0 or batch.met_lock
            lock_first = not batch.single and self._executor.dialect.locks_rows_first(contended=contended)
            unit = self._compiler.batch([queued.write for queued in writes], lock_first=lock_first)
            try:
                results = await self._executor.run(_OPERATION, unit, deadline=batch.deadline, group=not batch.single)
            except StorageConnectionError:
                self._places.forget()
                raise
        monitor.group_commits += 1
        monitor.grouped_writes += len(writes)
        monitor.grouped_rows += sum([queued.write.row_count for queued in writes])
        return results
