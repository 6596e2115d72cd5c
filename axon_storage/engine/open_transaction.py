"""An open transaction: one connection, one call at a time, each step bounded in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.util import greenlet_spawn

from axon_storage.engine.connections import commit, return_to_pool
from axon_storage.engine.executor import COMMIT, Executor, run_in_transaction
from axon_storage.engine.timeouts import GRACE_SECONDS, Wait, finished
from axon_storage.errors import QueryError, StorageError
from axon_storage.sql.unit_of_work import UnitOfWork

T = TypeVar("T")

OPERATION = "transaction"


class OpenTransaction:
    """A transaction that calls can be run in, one at a time; after the first failure it takes no more.

    Until its first call has ended, nothing has been done in it. That call, as the opening, is therefore run again on
    another connection after a transient failure, such as a pooled connection that the server has closed. Later calls
    are never run again.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor, self._connections = executor, executor.connections
        self._connection: Connection | None = None
        self._begun = False
        self._turn = asyncio.Lock()
        self._failure: BaseException | None = None
        self._over = False
        self._call: Wait | None = None

    @property
    def is_over(self) -> bool:
        """Whether the transaction has been committed or rolled back, or is about to be."""
        return self._over

    async def run(self, operation: str, unit: UnitOfWork[T]) -> T:
        """Run one call's work."""
        wait = Wait("the transaction's earlier calls")
        with self._executor.translate_errors(operation), wait.at_most(self._executor.seconds_of_a_call()):
            async with self._turn:
                if self._over:
                    raise QueryError("this transaction is over")
                if self._failure is not None:
                    raise QueryError("an earlier call in this transaction failed") from self._failure
                self._call, wait.what = wait, "the database"
                try:
                    return await self._run(operation, unit, wait)
                except BaseException as failure:
                    self._failure = failure
                    raise
                finally:
                    self._call = None

    async def _run(self, operation: str, unit: UnitOfWork[T], wait: Wait) -> T:
        if self._begun:
            assert self._connection is not None  # noqa: S101  # only a first call gives it back
            return await run_in_transaction(self._connection, unit)

        async def attempt() -> T:
            with self._executor.translate_errors(operation):
                connection = self._connection or await self._open(wait)
                try:
                    return await run_in_transaction(connection, unit)
                except BaseException as error:
                    await self._roll_back(error)
                    raise

        result = await self._executor.retry(attempt)
        self._begun = True
        return result

    async def open(self, wait: Wait) -> None:
        """Connect and begin."""

        async def attempt() -> None:
            with self._executor.translate_errors(OPERATION):
                await self._open(wait)

        await self._executor.retry(attempt)

    async def commit(self, wait: Wait) -> None:
        """Commit, unless a call has failed."""
        self._over = True
        wait.what = "the transaction's last call"
        async with self._turn:
            pass
        if self._failure is not None:
            raise QueryError("rolled back: a call in it had failed") from self._failure
        if self._connection is not None:
            wait.what, wait.committing = COMMIT, True
            await finished(greenlet_spawn(commit, self._connection), wait)
            connection, self._connection = self._connection, None
            await return_to_pool(connection)

    async def roll_back(self, error: BaseException, wait: Wait) -> None:
        """Roll back for an error that ended the transaction; a call that is under way is ended first."""
        self._over = True
        if self._call is not None:
            self._call.expire()
        try:
            await finished(self._turn.acquire(), wait)
        finally:
            await self._roll_back(error)
        self._turn.release()

    async def _open(self, wait: Wait) -> Connection:
        self._connection = await greenlet_spawn(self._connections.connect, wait)
        try:
            await greenlet_spawn(partial(self._connections.begin, self._connection, writes=True))
        except BaseException as error:
            await self._roll_back(error)
            raise
        return self._connection

    async def _roll_back(self, error: BaseException) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await greenlet_spawn(self._connections.roll_back, connection, error)
            finally:
                await return_to_pool(connection)


@asynccontextmanager
async def open_transaction(executor: Executor) -> AsyncIterator[OpenTransaction]:
    """Open a transaction for the block: committed at its end, rolled back if it raises.

    The opening and the COMMIT each take at most as long as a call, the rollback :data:`GRACE_SECONDS`.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(executor.tracked(OPERATION))
        transaction, seconds = OpenTransaction(executor), executor.seconds_of_a_call()

        async def open_(wait: Wait) -> None:
            await stack.enter_async_context(executor.write_lock(wait))
            await transaction.open(wait)

        try:
            await _bounded(executor, open_, seconds)
            yield transaction
            await _bounded(executor, transaction.commit, seconds)
        except BaseException as error:
            # report the error that ended the block, not a failure of its rollback
            with suppress(StorageError):
                await _bounded(executor, partial(transaction.roll_back, error), GRACE_SECONDS)
            raise


async def _bounded(executor: Executor, step: Callable[[Wait], Awaitable[None]], seconds: float) -> None:
    wait = Wait()
    with executor.translate_errors(OPERATION), wait.at_most(seconds):
        await step(wait)
