"""Fence: lets only the newest run of a move change the rows of its tenant in a database that no call uses.

An earlier run may still go on: its process stood still, or its last transaction is on the way. So each transaction that
changes rows first locks an entry, and then checks that another entry names its run. Once a newer run has replaced that
entry, no transaction of an earlier one commits.
"""

from dataclasses import dataclass
from typing import TypeVar

from axon_storage.backend import StorageBackend
from axon_storage.engine.retry import Retry, run_with_retries
from axon_storage.errors import QueryError
from axon_storage.model.requests import Request
from axon_storage.model.rows import SessionRow
from axon_storage.repository import SqlRepository
from axon_storage.routing.catalogue import MOVES_TENANT

T = TypeVar("T")

_LOCK, _RUN = "lock", "run"


@dataclass(frozen=True, slots=True)
class Fence:
    """The right of the run ``run`` to change the rows of ``tenant`` in ``storage``."""

    storage: SqlRepository
    tenant: str
    run: str

    async def take(self) -> None:
        """Become the newest run."""
        async with self.storage.transaction() as transaction:
            await self._lock(transaction)
            await transaction.for_tenant(MOVES_TENANT).save_session(self._entry(_RUN))

    async def is_held_in(self, other: StorageBackend) -> bool:
        """Return whether another storage shows this run, because it has the same database."""
        found = await other.for_tenant(MOVES_TENANT).get_session(self.tenant, _RUN)
        return found is not None and found.value == self.run

    async def execute(self, request: Request[T]) -> T:
        """Execute a request in a transaction, if this is the newest run. It is repeated after a transient failure."""
        return await run_with_retries(Retry(), lambda: self._attempt(request))

    async def _attempt(self, request: Request[T]) -> T:
        async with self.storage.transaction() as transaction:
            await self._lock(transaction)
            # read after the lock was taken, so that it is the newest
            found = await transaction.for_tenant(MOVES_TENANT).get_session(self.tenant, _RUN)
            if found is None or found.value != self.run:
                raise QueryError("another run of this move has begun: let it end")
            return await transaction.execute(request)

    async def clear(self) -> None:
        """Delete the entries. No run can change rows afterwards, until one takes the fence."""
        async with self.storage.transaction() as transaction:
            await self._lock(transaction)
            await transaction.for_tenant(MOVES_TENANT).delete_sessions(self.tenant, [_LOCK, _RUN])

    async def _lock(self, transaction: StorageBackend) -> None:
        await transaction.for_tenant(MOVES_TENANT).save_session(self._entry(_LOCK))

    def _entry(self, key: str) -> SessionRow:
        return SessionRow(scope=self.tenant, key=key, value=self.run, source_step="")
