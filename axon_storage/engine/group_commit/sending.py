"""Sending several writes in one transaction.

Rules:

1. The transaction's time is that of the caller with the latest deadline, and the grace time more. An earlier deadline
   cancels the batch before.
2. The transaction waits for a lock only as long as the dialect's short lock time-out, because it holds the locks of
   other callers' rows meanwhile. Where the database has no such time-out, a statement locks the rows first, with
   NOWAIT. A single batch waits as long as its caller.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from axon_storage.engine.executor import Executor
from axon_storage.engine.group_commit.batch import Batch, QueuedWrite
from axon_storage.sql.compiler import Compiler

_OPERATION = "group commit"


class Sender:
    """Sends the writes of batches. ``open_transactions``: how many ``transaction()`` blocks of the storage are open."""

    def __init__(self, executor: Executor, compiler: Compiler) -> None:
        self._executor, self._compiler = executor, compiler
        self.open_transactions = 0

    async def send(self, batch: Batch, writes: Sequence[QueuedWrite]) -> list[Any]:
        """Commit some or all writes of a batch in one transaction, and return the result of each."""
        seconds = max([queued.deadline for queued in writes]) - asyncio.get_running_loop().time()
        batch.deadline = self._executor.deadline(seconds + self._executor.grace_seconds, own_task=True)
        contended = self.open_transactions > 0 or batch.met_lock
        lock_first = not batch.single and self._executor.dialect.locks_rows_first(contended=contended)
        unit = self._compiler.batch([queued.write for queued in writes], lock_first=lock_first)
        return await self._executor.run(_OPERATION, unit, deadline=batch.deadline, group=not batch.single)
