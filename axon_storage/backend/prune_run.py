"""PruneRun: deletes the old rows of one table in bounded transactions."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from axon_storage.backend.base import BackendBase
from axon_storage.engine.timeouts import operation_timeout
from axon_storage.errors import StorageConnectionError, StorageError
from axon_storage.model.maintenance import DeleteOld, ListOld, OldRows, ReleaseLease, TakeLease
from axon_storage.model.rows import ROW_TYPES, Row

_RENEWAL_SECONDS = 5.0
"""After this time without a transaction, a run renews its lease, which lasts 15 seconds."""

_RELEASE_SECONDS = 1.0
"""How long a run tries to release its lease. If it cannot, the lease ends by itself."""

_log = logging.getLogger(__name__)


@dataclass
class PruneRun:
    """Deletes the rows of a tenant and table that are older than ``before`` (None: all), a page of keys at a time.

    ``where``: deletes only rows whose fields equal these. ``limit``: the number of rows of a page. ``pause``: seconds
    between two transactions.
    """

    backend: BackendBase
    operation: str
    tenant: str
    row_type: type[Row]
    where: Mapping[str, Any]
    before: datetime | None
    limit: int
    pause: float = 0.0
    _holder: UUID | None = field(default=None, init=False)
    _renewed: float = field(default=0.0, init=False)

    async def count(self) -> int:
        """Return the number of old rows."""
        count = 0
        async with aclosing(self._pages()) as pages:
            async for page in pages:
                count += len(page.keys)
        return count

    async def delete(self) -> int:
        """Delete the old rows, and return their number. No lease: other runs may do the same."""
        deleted = unknown = 0
        async with aclosing(self._pages()) as pages:
            async for page in pages:
                if page.keys or page.unknown:
                    deleted += await self._delete(page)
                    unknown += len(page.unknown)
                    if page.after is not None:
                        await self._rest()
                elif self._lease_is_old():
                    await self._delete(page)
        if unknown:
            _log.info("%s: %d rows without a time of their last save count as saved now", self.row_type.TABLE, unknown)
        return deleted

    async def delete_with_lease(self) -> int:
        """Wait for the lease of the table, and delete the old rows."""
        self._holder = uuid4()
        try:
            # A run that is limited to some rows records nothing, because ids of other rows must not be refused. Rows
            # with a key are saved, and not appended with an id.
            pruned = None if self.where or self.row_type.KEY else self.before
            await self.backend.execute(
                TakeLease(
                    operation=self.operation,
                    tenant=self.tenant,
                    row_type=self.row_type,
                    holder=self._holder,
                    before=pruned,
                )
            )
            self._renewed = time.monotonic()
            return await self.delete()
        finally:
            await self._release(self._holder)

    async def _pages(self) -> AsyncGenerator[OldRows]:
        after: tuple[Any, ...] | None = None
        while True:
            page = await self.backend.execute(
                ListOld(
                    operation=self.operation,
                    tenant=self.tenant,
                    row_type=self.row_type,
                    where=self.where,
                    before=self.before,
                    after=after,
                    limit=self.limit,
                )
            )
            yield page
            after = page.after
            if after is None:
                return

    async def _delete(self, page: OldRows) -> int:
        """Delete the rows of a page, and renew the lease."""
        started = time.monotonic()
        deleted = await self.backend.execute(
            DeleteOld(
                operation=self.operation,
                tenant=self.tenant,
                row_type=self.row_type,
                keys=page.keys,
                unknown=page.unknown,
                before=self.before,
                holder=self._holder,
            )
        )
        if deleted is None:
            message = f"{self.row_type.TABLE}: another run began while this one stood still, or the tenant was erased"
            raise StorageConnectionError(message, operation=self.operation, transient=True)
        self._renewed = started
        return deleted

    async def _rest(self) -> None:
        """Pause, and renew the lease meanwhile."""
        end = time.monotonic() + self.pause
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, _RENEWAL_SECONDS))
            if self._lease_is_old():
                await self._delete(OldRows([], [], None))

    def _lease_is_old(self) -> bool:
        return self._holder is not None and time.monotonic() - self._renewed >= _RENEWAL_SECONDS

    async def _release(self, holder: UUID) -> None:
        release = ReleaseLease(operation=self.operation, tenant=self.tenant, row_type=self.row_type, holder=holder)
        with suppress(StorageError), operation_timeout(_RELEASE_SECONDS):
            await self.backend.execute(release)


async def has_rows(backend: BackendBase, operation: str, tenant: str) -> bool:
    """Return whether a tenant has rows. Unlike a list of all tenants, this needs to see the rows of the tenant only."""
    for row_type in ROW_TYPES:
        first = ListOld(
            operation=operation, tenant=tenant, row_type=row_type, where={}, before=None, after=None, limit=1
        )
        if (await backend.execute(first)).keys:
            return True
    return False
