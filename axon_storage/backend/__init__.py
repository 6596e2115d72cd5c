"""StorageBackend: every public method of a storage, in one class for each group of row types."""

from abc import abstractmethod
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from axon_storage.backend.cache import CacheMethods
from axon_storage.backend.logs import LogMethods
from axon_storage.backend.maintenance import MaintenanceMethods
from axon_storage.backend.named import NamedRowMethods
from axon_storage.backend.sessions import SessionMethods
from axon_storage.backend.traces import TraceMethods
from axon_storage.errors import QueryError
from axon_storage.model.requests import ListTenants, MaintenanceRequest
from axon_storage.model.rows import Row


class StorageBackend(TraceMethods, SessionMethods, NamedRowMethods, LogMethods, CacheMethods, MaintenanceMethods):
    """The interface of every storage: methods that save, append, read and delete the rows of an agent server.

    A write is committed before its call returns. A save replaces the whole row. A value that not every database can
    store exactly raises a :class:`SerializationError`, and a row of another tenant a :class:`TenantMismatchError`,
    before anything is sent. Failures of the database raise a :class:`StorageConnectionError` or a :class:`QueryError`.
    """

    # Writes of several rows, transactions, tenants, health.

    async def save_many(self, rows: Iterable[Row]) -> None:
        """Store rows of any types in one transaction. If several rows have the same key, the last one is stored."""
        await self._save("save_many", Row, rows)

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager["StorageBackend"]:
        """Open a transaction: an object with the same methods, whose writes are all committed at the end of the block.

        If the block raises, nothing is stored. The storage does not retry the block: after an error with
        ``error.transient`` set, the caller may run it again. Inside the block, write only through the object. A write
        by the same task through the storage raises a :class:`QueryError`::

            async with storage.transaction() as transaction:
                await transaction.save_session(entry)
                await transaction.append_event(event)
        """

    async def tenant_ids(self) -> list[str]:
        """Return the tenants that have rows, sorted. The time depends on the number of tenants, not of rows."""
        return await self.execute(ListTenants(operation="tenant_ids", tenant=""))

    @abstractmethod
    async def is_healthy(self) -> bool:
        """Return whether the database answers and accepts writes, and its schema is not older than this package's.

        It returns within 5 seconds, and never raises. A read-only server, such as a standby, is not healthy. The check
        uses a separate connection, which is kept for the next check.
        """


def outside_transaction(request: MaintenanceRequest[Any]) -> QueryError:
    """Return the error for a prune or erase method inside a ``transaction()``."""
    message = "a transaction() cannot contain it, because it commits several transactions: call it on the storage"
    return QueryError(message, operation=request.operation)
