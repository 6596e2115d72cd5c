"""Waiting for the lease of a prune run."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from axon_storage.engine.executor import Executor
from axon_storage.model.maintenance import TakeLease
from axon_storage.sql.unit_of_work import UnitOfWork

_POLL_SECONDS = 0.25


async def wait_for_lease(
    executor: Executor, request: TakeLease, attempt: Callable[[TakeLease], UnitOfWork[datetime | None]]
) -> None:
    """Try to take a lease until no other run holds it; raise a StorageConnectionError at the timeout of the call.

    ``attempt``: returns a unit of work that takes the lease, or returns until when another run holds it.
    """
    with executor.translate_errors(request.operation), executor.deadline() as deadline:
        while (held_until := await executor.run(request.operation, attempt(request))) is not None:
            deadline.waiting_for = f"another run, which prunes {request.row_type.TABLE} until {held_until:%H:%M:%S} UTC"
            await asyncio.sleep(_POLL_SECONDS)
