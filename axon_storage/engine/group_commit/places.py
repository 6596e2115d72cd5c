"""Places: where the rows of each tenant are, if the database distributes the tenants over several servers.

Rules:

1. The place of a tenant is read before its first write is queued, and then kept. Writes of the tenant wait meanwhile.
   If the read fails, the call that reads fails, and the others are queued without a place.
2. All places are forgotten when a batch meets a connection error, since a node may be gone and its parts elsewhere, and
   when there are ``most_tenants``.
3. A place that is unknown or out of date costs time only: the database finds the rows by itself.
"""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial

from sqlalchemy import Connection

from axon_storage.dialects import Dialect, Place
from axon_storage.engine.deadline import DATABASE, Deadline
from axon_storage.engine.executor import Executor
from axon_storage.engine.group_commit.batch import QueuedWrite
from axon_storage.sql.unit_of_work import UnitOfWork


class Places:
    """The known places of tenants. ``most_tenants``: how many are kept."""

    most_tenants: int = 100_000

    def __init__(self, executor: Executor) -> None:
        self._executor, self._known = executor, dict[str, Place | None]()
        self._reading = dict[str, asyncio.Event]()

    def known(self, tenant: str) -> bool:
        """Return whether the place of a tenant need not be read."""
        return not self._executor.dialect.has_places or tenant in self._known

    def node(self, tenant: str) -> int:
        """Return the number of the node of a tenant; 0 if it is not known."""
        place = self._known.get(tenant)
        return 0 if place is None else place.node

    def by_shard(self, writes: Sequence[QueuedWrite]) -> Iterable[Sequence[QueuedWrite]]:
        """Return the writes of each shard; all of them if the database has no shards."""
        if not self._executor.dialect.has_places:
            return [writes]
        shards: dict[int, list[QueuedWrite]] = {}
        for queued in writes:
            place = self._known.get(queued.write.tenant)
            shards.setdefault(0 if place is None else place.shard, []).append(queued)
        return shards.values()

    async def read(self, operation: str, tenant: str, deadline: Deadline) -> None:
        """Read the place of a tenant, or wait for another call that reads it."""
        if (reading := self._reading.get(tenant)) is not None:
            with self._executor.translate_errors(operation), deadline:
                deadline.waiting_for = DATABASE
                await reading.wait()
            return
        self._reading[tenant] = asyncio.Event()
        try:
            self._keep(tenant, await self._read(operation, tenant, deadline))
        finally:
            self._reading.pop(tenant).set()

    def forget(self) -> None:
        """Forget all places."""
        self._known.clear()

    async def _read(self, operation: str, tenant: str, deadline: Deadline) -> Place | None:
        dialect: Dialect = self._executor.dialect
        unit = UnitOfWork(partial(_read, dialect, tenant), writes=False, can_autocommit=True, tenants=(tenant,))
        return await self._executor.run(operation, unit, deadline=deadline)

    def _keep(self, tenant: str, place: Place | None) -> None:
        if len(self._known) >= self.most_tenants:
            self.forget()
        self._known[tenant] = place


def _read(dialect: Dialect, tenant: str, connection: Connection) -> Place | None:
    return dialect.place(connection, tenant)
