"""Compiler: compiles requests into units of work."""

import time
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from axon_storage.dialects import Dialect
from axon_storage.encryption.cipher import DocumentCipher
from axon_storage.model.encrypted import EncryptionRequest, ReadSamples
from axon_storage.model.ids import Clock, IdSource, new_id
from axon_storage.model.maintenance import MaintenanceRequest
from axon_storage.model.requests import (
    Append,
    Create,
    Delete,
    DeleteRange,
    EvictExpired,
    Get,
    ListByIds,
    ListByKey,
    ListByKeys,
    ListNewest,
    ListPage,
    ListRecentIds,
    ListScopes,
    ListTenants,
    Request,
    Save,
    Summarize,
    TableRequest,
    WriteRequest,
)
from axon_storage.model.seals import ListSealedTenants, SealRequest
from axon_storage.sql import batches, distinct, rotation, transfer
from axon_storage.sql.pruning import Pruning
from axon_storage.sql.reads import Reads
from axon_storage.sql.seals import Seals
from axon_storage.sql.summaries import summarize
from axon_storage.sql.unit_of_work import UnitOfWork
from axon_storage.sql.writes import PreparedWrite, Writes

T = TypeVar("T")

OF_EVERY_TENANT = (ListTenants, ListSealedTenants, ReadSamples)
"""The requests that read the rows of every tenant."""


class Compiler:
    """Compiles requests into units of work for one dialect.

    A write request is compiled in two steps, so that writes can share a transaction: :meth:`prepare` for each, then
    :meth:`batch` for several. ``clock``: returns nanoseconds since 1970. ``cipher``: encrypts and decrypts documents;
    its keys for the tenant of a request are loaded before the request is compiled.
    """

    def __init__(self, dialect: Dialect, clock: Clock | None = None, cipher: DocumentCipher | None = None) -> None:
        self._dialect, self._cipher = dialect, cipher
        self._reads = Reads(dialect, clock or time.time_ns, cipher)
        self._pruning = Pruning(dialect, clock or time.time_ns)
        self._seals = Seals(dialect, clock or time.time_ns)
        self._writes = Writes(dialect, clock or time.time_ns, new_id if clock is None else IdSource(clock), cipher)

    def compile(self, request: Request[T]) -> UnitOfWork[T]:
        """Compile one request."""
        unit: UnitOfWork[Any]
        match request:
            case WriteRequest():
                unit = batches.single(self._dialect, self.prepare(request))
            case TableRequest():
                unit = transfer.compile_table_request(self._dialect, request, self._cipher)
            case SealRequest():
                unit = self._seals.compile(request)
            case MaintenanceRequest():
                unit = self._pruning.compile(request)
            case EvictExpired():
                unit = self._reads.evict_expired(request)
            case EncryptionRequest():
                unit = rotation.compile_encryption_request(self._dialect, request, self._cipher)
            case _:
                unit = self._compile_read(request)
        unit.tenants = None if isinstance(request, OF_EVERY_TENANT) else (request.tenant,)
        return cast("UnitOfWork[T]", unit)  # match does not narrow T

    def _compile_read(self, request: Request[Any]) -> UnitOfWork[Any]:  # noqa: PLR0911  # one for each kind of read
        match request:
            case Get():
                return self._reads.get(request)
            case ListByKey():
                return self._reads.list_by_key(request)
            case ListByKeys():
                return self._reads.list_by_keys(request)
            case ListNewest():
                return self._reads.list_newest(request)
            case ListPage():
                return self._reads.list_page(request)
            case ListByIds():
                return self._reads.list_by_ids(request)
            case ListRecentIds():
                return self._reads.list_recent_ids(request)
            case Summarize():
                return summarize(self._dialect, request)
            case ListScopes():
                return distinct.list_scopes(self._dialect, request)
            case ListTenants():
                return distinct.list_tenants(self._dialect, request)
        raise NotImplementedError(type(request).__name__)

    def prepare(self, request: WriteRequest[T]) -> PreparedWrite[T]:
        """Prepare a write request. The result can be sent alone or in a batch."""
        write: PreparedWrite[Any]
        match request:
            case Append():
                write = self._writes.append(request)
            case Save():
                write = self._writes.save(request)
            case Create():
                write = self._writes.create(request)
            case Delete():
                write = self._writes.delete(request)
            case DeleteRange():
                write = self._writes.delete_range(request)
            case _:
                raise NotImplementedError(type(request).__name__)
        return cast("PreparedWrite[T]", write)  # match does not narrow T

    def check_ids(self, request: WriteRequest[Any]) -> UnitOfWork[str | None] | None:
        """Return the read that a write with old ids needs first, as :meth:`Pruning.check_ids` does."""
        check = self._pruning.check_ids(request)
        if check is not None:
            check.tenants = (request.tenant,)
        return check

    def single(self, write: PreparedWrite[T]) -> UnitOfWork[T]:
        """Convert one prepared write into a unit of work."""
        return batches.single(self._dialect, write)

    def batch(self, writes: Sequence[PreparedWrite[Any]], *, lock_first: bool = False) -> UnitOfWork[list[Any]]:
        """Combine prepared writes into one unit of work, as :func:`axon_storage.sql.batches.batch` does."""
        return batches.batch(self._dialect, writes, lock_first=lock_first)
