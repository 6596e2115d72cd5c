"""OpenTransaction: a transaction that stays open between calls.

Rules:

1. It uses one connection, and runs calls one at a time, in order.
2. After a failed call it refuses further calls, and is rolled back at the end.
3. BEGIN and the first call are retried on another connection after a transient failure, for example if the server has
   closed an idle connection, because there is no earlier work to lose. Later calls are never retried.
4. Each step (BEGIN, each call, COMMIT) has the timeout of a call. The rollback has ``grace_seconds``.
5. It is not committed if it appended an event more than ``append_horizon`` seconds ago.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from math import inf
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.util import greenlet_spawn

from axon_storage.engine.connections import return_to_pool
from axon_storage.engine.deadline import COMMIT, DATABASE, Deadline
from axon_storage.engine.executor import Executor
from axon_storage.engine.monitor import Monitor
from axon_storage.errors import QueryError, StorageError
from axon_storage.sql.unit_of_work import UnitOfWork

T = TypeVar("T")

OPERATION = "transaction"

_ANY = ("",)  # stands for the tenants that the calls of a transaction will name

_EARLIER_CALLS, _LAST_CALL = "the transaction's earlier calls", "the transaction's last call"


class OpenTransaction:
    """A transaction that runs calls, one at a time. :func:`open_transaction` opens and ends it."""

    def __init__(self, executor: Executor) -> None:
        self._executor, self._connections = executor, executor.connections
        self._connection: Connection | None = None
        self._call_lock = asyncio.Lock()
        self._call_deadline: Deadline | None = None
        self._has_run_a_call = False
        self._failure: BaseException | None = None
        self._over = False
        self._event_time = inf
        self._names_tenants = False

    @property
    def monitor(self) -> Monitor:
        """That of the storage."""
        return self._executor.monitor

    @property
    def is_over(self) -> bool:
        """Whether the transaction has ended or is ending."""
        return self._over

    @property
    def is_open(self) -> bool:
        """Whether it has a connection."""
        return self._connection is not None

    async def run(self, operation: str, unit: UnitOfWork[T]) -> T:
        """Run the unit of work of one call."""
        deadline = self._executor.deadline(waiting_for=_EARLIER_CALLS)
        with self._executor.translate_errors(operation), deadline:
            async with self._call_lock:
                self._check_usable()
                self._call_deadline, deadline.waiting_for = deadline, DATABASE
                self._event_time = min(self._event_time, unit.event_time)
                try:
                    if self._has_run_a_call:
                        return await greenlet_spawn(self._run_unit, unit, self._connection, deadline)
                    return await self._run_first_call(operation, unit, deadline)
                except BaseException as failure:
                    self._failure = failure
                    raise
                finally:
                    self._call_deadline = None

    def _check_usable(self) -> None:
        if self._over:
            raise QueryError("this transaction is over")
        if self._failure is not None:
            raise QueryError("an earlier call in this transaction failed") from self._cause()

    def _cause(self) -> BaseException | None:
        """Return the failure of the earlier call without bound values, to be the cause of an error."""
        failure, dialect = self._failure, self._executor.dialect
        if failure is None or isinstance(failure, StorageError | asyncio.CancelledError):
            return failure
        return dialect.cause_without_values(dialect.driver_error(failure))

    async def _run_first_call(self, operation: str, unit: UnitOfWork[T], deadline: Deadline) -> T:
        """Run a call. After a transient failure, run it again on a new connection."""

        async def attempt() -> T:
            with self._executor.translate_errors(operation):
                connection = self._connection or await self._begin(deadline)
                try:
                    return await greenlet_spawn(self._run_unit, unit, connection, deadline)
                except BaseException as error:
                    await self._discard_connection(error)
                    raise

        result = await self._executor.retry(attempt)
        self._has_run_a_call = True
        return result

    async def open(self, deadline: Deadline) -> None:
        """Take a connection, and begin the transaction."""

        async def attempt() -> None:
            with self._executor.translate_errors(OPERATION):
                await self._begin(deadline)

        await self._executor.retry(attempt)

    async def commit(self, deadline: Deadline) -> None:
        """Wait for calls in progress, then commit. Raise a QueryError if a call failed, or an event is too old."""
        self._over = True
        deadline.waiting_for = _LAST_CALL
        async with self._call_lock:
            pass
        if self._failure is not None:
            raise QueryError("rolled back, because one of its calls failed") from self._cause()
        self._executor.check_horizon(self._event_time)
        if self._connection is not None:
            deadline.waiting_for, deadline.committing = COMMIT, True
            await deadline.shield(greenlet_spawn(self._connections.commit, self._connection))
            connection, self._connection = self._connection, None
            await return_to_pool(connection)

    async def roll_back(self, error: BaseException, deadline: Deadline) -> None:
        """Cancel the call in progress, then roll back because of an error."""
        self._over = True
        if self._call_deadline is not None:
            self._call_deadline.expire()
        try:
            await deadline.shield(self._call_lock.acquire())
        finally:
            await self._discard_connection(error)
        self._call_lock.release()

    async def _begin(self, deadline: Deadline) -> Connection:
        self._connection = await greenlet_spawn(self._connections.connect, deadline)
        try:
            await greenlet_spawn(self._begin_on, self._connection)
        except BaseException as error:
            await self._discard_connection(error)
            raise
        return self._connection

    def _run_unit(self, unit: UnitOfWork[T], connection: Connection, deadline: Deadline) -> T:
        return self._connections.run(unit, connection, deadline, named=self._names_tenants)

    def _begin_on(self, connection: Connection) -> None:
        """Begin. If the database binds the account to tenants, the first call begins, because it names them."""
        self._names_tenants = self._connections.row_security.names_tenants(connection, _ANY)
        self._connections.begin(connection, writes=True, tenants=() if self._names_tenants else None)

    async def _discard_connection(self, error: BaseException) -> None:
        """Roll back because of an error, and return the connection to its pool."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await greenlet_spawn(self._connections.roll_back, connection, error)
            finally:
                await return_to_pool(connection)


@asynccontextmanager
async def open_transaction(executor: Executor) -> AsyncIterator[OpenTransaction]:
    """Open a transaction for a block. Commit at the end of the block, or roll back if the block raises."""
    translated, step = partial(executor.translate_errors, OPERATION), executor.monitor.step
    executor.monitor.transactions += 1
    async with AsyncExitStack() as stack:
        stack.enter_context(executor.lifecycle.call(OPERATION))
        transaction, seconds = OpenTransaction(executor), executor.seconds_of_a_call()
        try:
            with step("BEGIN"), translated(), executor.deadline(seconds) as deadline:
                await stack.enter_async_context(executor.write_lock(deadline))
                await transaction.open(deadline)
            yield transaction
            with step("COMMIT"), translated(), executor.deadline(seconds) as deadline:
                await transaction.commit(deadline)
        except BaseException as error:
            # Report the error that ended the block, not a failure of its rollback.
            rollback = executor.monitor.observed("ROLLBACK" if transaction.is_open else None)
            with suppress(StorageError), rollback, translated(), executor.deadline(executor.grace_seconds) as deadline:
                await transaction.roll_back(error, deadline)
            raise
