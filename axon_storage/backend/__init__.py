"""StorageBackend: every public method of a storage, in one class for each group of row types."""

from abc import abstractmethod
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from axon_storage.backend.cache import CacheMethods
from axon_storage.backend.health import health_from
from axon_storage.backend.logs import LogMethods
from axon_storage.backend.maintenance import MaintenanceMethods
from axon_storage.backend.named import NamedRowMethods
from axon_storage.backend.scans import ScanMethods
from axon_storage.backend.sessions import SessionMethods
from axon_storage.backend.traces import TraceMethods
from axon_storage.errors import InvalidArgumentError, QueryError
from axon_storage.model.health import Health
from axon_storage.model.maintenance import MaintenanceRequest
from axon_storage.model.requests import Create, ListTenants
from axon_storage.model.rows import Recorded, Row
from axon_storage.model.stats import StorageStats
from axon_storage.model.validation import operation_context, validate_row


class StorageBackend(
    TraceMethods, SessionMethods, NamedRowMethods, LogMethods, CacheMethods, ScanMethods, MaintenanceMethods
):
    """The interface of every storage: methods that save, append, read and delete the rows of an agent server.

    A write is committed before its call returns. A save replaces the whole row. A value that not every database can
    store exactly raises a :class:`SerializationError`, and a row of another tenant a :class:`TenantMismatchError`,
    before anything is sent. Failures of the database raise a :class:`StorageConnectionError` or a :class:`QueryError`.
    """

    # Writes of several rows, transactions, tenants, health.

    async def save_many(self, rows: Iterable[Row | Recorded[Any]], *, keep_existing: bool = False) -> None:
        """Store rows of any types in one transaction. If several rows have the same key, the last one is stored.

        With ``keep_existing``, rows that exist stay as they are, and of several rows with the same key the first one is
        stored.

        A :class:`Recorded`, as the iterators return it, is stored under its id, which determines its timestamp and its
        place in the order. So rows can be copied from another storage, and a repeated call stores nothing twice::

            async for recorded in source.iter_events():
                await target.save_many([recorded])

        If the id exists in an append-only table, the stored row is kept. A trace that exists is replaced and keeps its
        own id. Two traces must not have the same id: in one call that raises an :class:`InvalidArgumentError`, and
        after two calls iterators may skip one of them. Other rows with a key have no id, and are passed as they are. A
        ``timestamp`` that is not that of the id raises an :class:`InvalidArgumentError`.
        """
        await self._save("save_many", Row, rows, keep_existing=keep_existing)

    async def create(self, row: Row) -> bool:
        """Store a row with a key unless the key exists, and return whether it was stored.

        False leaves the stored row as it is. Of several concurrent calls with one key, one returns True. The row may
        have any type that is not append-only::

            if await storage.create(SessionRow(scope="locks", key="import", value="host 7", source_step="import")):
                ...  # this process does the import

        If the answer to the COMMIT is lost and the call is repeated, it returns False, although it stored the row.
        """
        with operation_context("create"):
            tenant = self.current_tenant()
            checked = validate_row(row, Row, tenant)
            if not row.KEY:
                raise InvalidArgumentError(f"{type(row).__name__} is append-only: use its append method, with an id")
        return await self.execute(Create(operation="create", tenant=tenant, row=checked))

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager["StorageBackend"]:
        """Open a transaction: an object with the same methods, whose writes are all committed at the end of the block.

        If the block raises, nothing is stored. The storage does not retry the block: after an error with
        ``error.transient`` set, the caller may run it again. Inside the block, write only through the object. A write
        by the same task through the storage raises a :class:`QueryError`. The end of a block that appended an event
        more than 60 s before raises one too: see :meth:`follow_events`::

            async with storage.transaction() as transaction:
                await transaction.save_session(entry)
                await transaction.append_event(event)
        """

    async def tenant_ids(self) -> list[str]:
        """Return the tenants that have rows, sorted. The time depends on the number of tenants, not of rows."""
        return await self.execute(ListTenants(operation="tenant_ids", tenant=""))

    @abstractmethod
    async def stats(self) -> StorageStats:
        """Return the size of the database with all its tenants, and the state of the pool and of group commit.

        On servers a table of over 10,000 rows is not counted: its number of rows is the server's estimate. On SQLite
        every row is counted. The time also depends on the number of tenants, up to 1,000.
        """

    @abstractmethod
    async def is_healthy(self) -> bool:
        """Return whether the database answers and accepts writes, and its schema is not older than this package's.

        It returns within 5 seconds, and never raises. A read-only server, such as a standby, is not healthy. The check
        uses a separate connection, which is kept for the next check.
        """

    async def health(self) -> Health:
        """Return whether the storage is healthy and ready for further calls, the reasons why not, and the time it took.

        ``healthy`` is what :meth:`is_healthy` returns. ``ready`` is also False while the pool or the queue is full. It
        returns within 5 seconds, and never raises. A check of a full pool takes 0.4 seconds::

            health = await storage.health()
            if not health.ready:
                log.warning("not ready: %s", "; ".join(map(str, health.reasons)))

        A backend that does not override this method gives no reason other than ``check_failed``.
        """
        return await health_from(self.is_healthy)


def outside_transaction(request: MaintenanceRequest[Any]) -> QueryError:
    """Return the error for a prune or erase method inside a ``transaction()``."""
    message = "a transaction() cannot contain it, because it commits several transactions: call it on the storage"
    return QueryError(message, operation=request.operation)
