"""SqlRepository: the backend for SQL databases."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar, Unpack, cast

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage.backend import StorageBackend
from axon_storage.encryption import Keyring
from axon_storage.encryption.check import Sample, check_keys
from axon_storage.encryption.cipher import DocumentCipher
from axon_storage.encryption.columns import document_columns
from axon_storage.engine.executor import Executor
from axon_storage.engine.group_commit.capacity import TENANT_BYTES, TENANT_ROWS
from axon_storage.engine.group_commit.commit import GroupCommit
from axon_storage.engine.group_commit.queue import Queue
from axon_storage.engine.group_commit.scheduler import Scheduler
from axon_storage.engine.health import HealthCheck
from axon_storage.engine.lease import wait_for_lease
from axon_storage.engine.observer import DATABASE_PHASE
from axon_storage.engine.open_transaction import open_transaction
from axon_storage.engine.pool_stats import pool_stats
from axon_storage.engine.retry import Retry
from axon_storage.engine.row_security import EveryTenantError
from axon_storage.engine.timeouts import DEFAULT_TIMEOUT
from axon_storage.errors import QueryError, StorageError
from axon_storage.model.encrypted import ReadSamples, ReencryptRows
from axon_storage.model.health import Health
from axon_storage.model.ids import Clock
from axon_storage.model.maintenance import TakeLease
from axon_storage.model.requests import Request, WriteRequest, WriteTablePage
from axon_storage.model.rows import ROW_TYPES
from axon_storage.model.stats import StorageStats
from axon_storage.observability import Observability, ObservabilityOptions, observers_of
from axon_storage.observability.source import Source
from axon_storage.schema.revisions import current_revision, revision_reason
from axon_storage.sql.compiler import Compiler
from axon_storage.sql.stats import read_stats
from axon_storage.transaction import Transaction

T = TypeVar("T")

_log = logging.getLogger(__name__)

_SAMPLES = 3
"""The rows of a table that are decrypted when a storage is opened, so that one damaged row does not prevent it."""

_KEYS_NOT_CHECKED = "%s: the keys of documents were not checked, because row-level security binds the account"

_SHOWN_IN_URL = {"host", "port", "service_name", "unix_socket"}
"""The URL parameters that ``repr`` shows, because they identify the database. Others may contain secrets."""


class SqlRepository(StorageBackend):
    """Stores rows in SQLite, PostgreSQL, MySQL, MariaDB or Oracle.

    ``engine``: any engine of a supported async driver. The repository adds event listeners to it that set up each
    connection, and disposes of it in :meth:`close`. ``retry``: the options ``retry_attempts`` and ``retry_deadline`` in
    one object. The other options are those of :class:`axon_storage.opening.OpenOptions`.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        clock: Clock | None = None,
        require_tenant: bool = False,
        retry: Retry | None = None,
        operation_timeout: float = DEFAULT_TIMEOUT,
        group_commit: bool = True,
        encryption: Keyring | None = None,
        tenant_queue_rows: int = TENANT_ROWS,
        tenant_queue_bytes: int = TENANT_BYTES,
        **observability: Unpack[ObservabilityOptions],
    ) -> None:
        super().__init__(require_tenant=require_tenant)
        self._executor = Executor(engine, retry=retry, timeout=operation_timeout)
        self._monitor = self._executor.monitor
        self._cipher = None if encryption is None else DocumentCipher(encryption)
        self._compiler = Compiler(self._executor.dialect, clock, self._cipher)
        queue = Queue(tenant_queue_rows, tenant_queue_bytes)
        self._writes = GroupCommit(self._executor, self._compiler, queue, enabled=group_commit)
        self._database = _without_secrets(engine.url)
        self._health = HealthCheck(self._executor, revision_reason, lambda: self.group_commit.queue.is_full)
        self._stats = read_stats(self._executor.dialect, current_revision)
        self._source = Source(self._executor, self._writes.scheduler)
        self._monitor.observers = observers_of(self._source, Observability(**observability))
        self._tasks_in_transaction: set[asyncio.Task[object] | None] = set()

    @property
    def engine(self) -> AsyncEngine:
        """The engine that was passed to the constructor."""
        return self._executor.connections.host_engine

    @property
    def database(self) -> str:
        """The URL of the database, without the password."""
        return self._database

    @property
    def encryption(self) -> Keyring | None:
        """The keyring with which documents are encrypted, or None."""
        return None if self._cipher is None else self._cipher.keyring

    @property
    def group_commit(self) -> Scheduler:
        """The scheduler of group commit, which has the queue and the batches in flight."""
        return self._writes.scheduler

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        self._refuse_outer_write("transaction")
        task = asyncio.current_task()
        with self._writes.beside_transaction(), self._monitor.block(self._tenant):
            async with open_transaction(self._executor) as opened:
                self._tasks_in_transaction.add(task)
                try:
                    yield Transaction(
                        opened,
                        self._compiler,
                        is_healthy=self.is_healthy,
                        health=self.health,
                        stats=self._stats,
                        database=self._database,
                        tenant=self._tenant,
                        fallback=self._fallback,
                        load_keys=None if self._cipher is None else self.load_keys,
                    )
                finally:
                    self._tasks_in_transaction.discard(task)

    async def load_keys(self, request: Request[Any]) -> None:
        """Load the keys for the documents of a request, if they are encrypted."""
        if (cipher := self._cipher) is None or cipher.is_loaded(request.tenant):
            return
        stores = isinstance(request, WriteTablePage | ReencryptRows)
        stores = stores or (isinstance(request, WriteRequest) and request.stored_rows > 0)
        work = cipher.load(request.tenant, create=stores)
        await self._executor.with_timeout(request.operation, work, waiting_for="the keys of documents")

    async def check_keys(self) -> None:
        """Raise an EncryptionError if the keyring decrypts none of a few documents: its keys are wrong.

        An account that row-level security binds to its tenants cannot read them; a warning says so.
        """
        if (cipher := self._cipher) is None:
            return
        if self._executor.connections.row_security.binds:
            _log.warning(_KEYS_NOT_CHECKED, self._database, extra={"storage_event": "keys_not_checked"})
            return
        async with aclosing(self._samples()) as samples:
            with self._executor.translate_errors("open"):
                await check_keys(cipher, samples)

    async def _samples(self) -> AsyncGenerator[Sample, None]:
        for row_type in ROW_TYPES:
            if document_columns(row_type):
                request = ReadSamples(operation="open", tenant="", row_type=row_type, limit=_SAMPLES)
                try:
                    found = await self.execute(request)
                except EveryTenantError:  # the first read finds a wrong key
                    return
                for row in found:
                    yield row_type, row

    async def stats(self) -> StorageStats:
        self._monitor.calls += 1
        with self._monitor.step("stats"):
            found = await self._executor.run("stats", self._stats)
        pool, queue, calls = pool_stats(self.engine), self.group_commit.stats(), self._monitor.stats()
        return replace(found, pool=pool, queue=queue, calls=calls)

    async def is_healthy(self) -> bool:
        with self._monitor.observed("is_healthy", phase=DATABASE_PHASE):
            return await self._health.is_healthy()

    async def health(self) -> Health:
        with self._monitor.observed("health", phase=DATABASE_PHASE):
            return await self._health.health()

    def execute(self, request: Request[T]) -> Coroutine[Any, Any, T]:
        work = self._execute(request)
        return self._monitor.observe(request, work) if self._monitor.observers else work

    async def _execute(self, request: Request[T]) -> T:
        self._monitor.calls += 1
        try:
            if self._cipher is not None:
                await self.load_keys(request)
            match request:
                case WriteRequest():
                    self._refuse_outer_write(request.operation)
                    check = self._compiler.check_ids(request)
                    return await self._writes.write(self._compiler.prepare(request), check)
                case TakeLease():
                    self._refuse_outer_write(request.operation)
                    await wait_for_lease(self._executor, request, self._compiler.compile)
                    return cast("T", None)  # match does not narrow T
                case _:
                    unit = self._compiler.compile(request)
                    if unit.writes:
                        self._refuse_outer_write(request.operation)
                    return await self._executor.run(request.operation, unit)
        except StorageError as error:
            error.operation = error.operation or request.operation
            self._monitor.failed(error, request)
            raise

    def _refuse_outer_write(self, operation: str) -> None:
        """Raise a QueryError if this task is inside one of this storage's ``transaction()`` blocks.

        On SQLite a write would wait for the end of the block, and the block for the write. So it is refused on every
        database.
        """
        if self._tasks_in_transaction and asyncio.current_task() in self._tasks_in_transaction:
            message = "this task is inside a transaction() of this storage: use the methods of the transaction object"
            raise QueryError(message, operation=operation)

    def _describe(self) -> list[str]:
        return [self._database, "closed" if self._executor.lifecycle.is_closed else "open"]

    async def _close(self) -> None:
        was_open = not self._executor.lifecycle.is_closed
        self._executor.lifecycle.check_outside_call()
        if self._executor.lifecycle.is_forked:  # the writes in progress belong to the parent process
            await self._executor.close()
            return
        await self._writes.close()
        await self._executor.close()
        await self._health.close()
        if was_open:
            _log.info("closed %s", self._database, extra={"storage_event": "closed", "database": self._database})


def _without_secrets(url: URL) -> str:
    return url.difference_update_query(url.query.keys() - _SHOWN_IN_URL).render_as_string(hide_password=True)
