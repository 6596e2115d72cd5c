"""Translation of the driver's errors into the errors of this package."""

import asyncio
from types import TracebackType

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from axon_storage.dialects import Dialect, UnsupportedServer
from axon_storage.errors import QueryError, StorageConnectionError, StorageError


class BusyError(StorageConnectionError):
    """A wait for other calls of this process timed out. It is transient, but the executor does not retry it."""


class LockTimeoutError(QueryError):
    """A group commit met a lock that did not become free within the short lock time-out of group commits."""


class translate_errors:  # noqa: N801  # lower case as contextlib.suppress
    """A context manager that turns the driver's errors into errors of this package that name the operation.

    With ``group``, a lock time-out becomes a :class:`LockTimeoutError`.
    """

    __slots__ = ("_cancellations", "_dialect", "_group", "_operation")

    def __init__(self, dialect: Dialect, operation: str, *, group: bool = False) -> None:
        self._dialect, self._operation, self._group = dialect, operation, group

    def __enter__(self) -> None:
        self._cancellations = _cancellations()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, Exception) and _cancellations() > self._cancellations:
            # The driver met another error while it handled a cancellation, and raised only that error.
            raise asyncio.CancelledError from self._cause_of(error)
        if isinstance(error, StorageError):
            error.operation = error.operation or self._operation
        elif isinstance(error, Exception):
            translated, cause = self._translate(error)
            if translated is not None:
                translated.operation = self._operation
                raise translated from cause

    def _cause_of(self, error: Exception) -> BaseException | None:
        """Return the error itself, or the driver's own without bound values where the error contains one."""
        cause = self._dialect.driver_error(error)
        if self._dialect.is_driver_error(cause) or isinstance(error, SQLAlchemyError):
            return self._dialect.cause_without_values(cause)
        return error

    def _translate(self, error: Exception) -> tuple[StorageError | None, BaseException | None]:
        """Return the error of this package for another one, or None, and the driver's error to keep as its cause."""
        if isinstance(error, UnsupportedServer):
            return StorageConnectionError(str(error)), None
        if isinstance(error, PoolTimeoutError):
            return BusyError("no connection of the pool came free in time", transient=True), None
        cause = self._dialect.driver_error(error)
        if self._dialect.is_driver_error(cause) or isinstance(error, DBAPIError):
            return self._translate_driver_error(error, cause), self._dialect.cause_without_values(cause)
        if isinstance(error, OSError):  # refused, reset, unreachable, timed out, TLS: drivers do not wrap these
            reason = f"{type(error).__name__}: {error.strerror or 'no answer'}"
            return StorageConnectionError(reason, transient=True), error
        if isinstance(error, SQLAlchemyError):
            return QueryError(type(error).__name__), self._dialect.cause_without_values(error.__cause__)
        return None, None

    def _translate_driver_error(self, error: Exception, cause: BaseException) -> StorageError:
        invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
        error_class = self._dialect.classify_error(cause, invalidated=invalidated)
        kind: type[StorageError] = StorageConnectionError if error_class.connection else QueryError
        if self._group and error_class.code in self._dialect.lock_timeout_codes:
            kind = LockTimeoutError
        message = f"[{error_class.code}] {error_class.message}" if error_class.code else error_class.message
        return kind(message, transient=error_class.transient)


def _cancellations() -> int:
    """Return how often the running task has been cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
