"""Translation of the driver's errors into the errors of this package."""

import asyncio
from types import TracebackType
from typing import NoReturn

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from axon_storage.dialects import Dialect, UnsupportedServer
from axon_storage.errors import QueryError, StorageConnectionError, StorageError


class BusyError(StorageConnectionError):
    """A wait for other calls of this process timed out. It is transient, but is not retried."""


class NoHostError(StorageConnectionError):
    """None of the hosts of a URL can be used."""


class PasswordError(StorageConnectionError):
    """The function that was given as the password of connections has not returned one."""


class LockTimeoutError(QueryError):
    """A group commit could not get a lock within its short lock timeout."""


class TooLateError(QueryError):
    """An event got its id too long ago to be committed. The call is not retried, because it would keep the id."""


class without_context:  # noqa: N801  # lower case, like contextlib.suppress
    """A context manager that makes an error of this package forget the one that it replaces.

    ``raise … from None`` keeps it as the ``__context__``, with frames whose local variables contain the password.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, StorageError) and error.__suppress_context__:
            error.__context__ = None


class translate_errors:  # noqa: N801  # lower case, like contextlib.suppress
    """A context manager that translates the driver's errors into errors of this package, and sets ``operation``.

    With ``group``, a lock timeout becomes a :class:`LockTimeoutError`. No error keeps the frames of SQLAlchemy and of
    the driver, because their local variables contain the password and the parameters of statements.
    """

    __slots__ = ("_cancellations", "_dialect", "_group", "_operation")

    def __init__(self, dialect: Dialect, operation: str, *, group: bool = False) -> None:
        self._dialect, self._operation, self._group = dialect, operation, group

    def __enter__(self) -> None:
        self._cancellations = _cancellations()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, NoHostError | PasswordError):  # it was raised inside SQLAlchemy
            error.__traceback__ = None
        if isinstance(error, Exception) and _cancellations() > self._cancellations:
            # The driver raised another error while it handled a cancellation, which must not be lost.
            _raise(asyncio.CancelledError(), self._cause_of(error))
        if isinstance(error, asyncio.CancelledError):
            error.__traceback__ = None
        elif isinstance(error, StorageError):
            error.operation = error.operation or self._operation
            if error.__suppress_context__:
                error.__context__ = None
        elif isinstance(error, Exception):
            translated, cause = self._translate(error)
            if translated is not None:
                translated.operation = self._operation
                _raise(translated, cause)

    def _cause_of(self, error: Exception) -> BaseException | None:
        """Return the driver's error without bound values if ``error`` contains one, otherwise ``error`` itself."""
        cause = self._dialect.driver_error(error)
        if self._dialect.is_driver_error(cause) or isinstance(error, SQLAlchemyError):
            return self._dialect.cause_without_values(cause)
        return error

    def _translate(self, error: Exception) -> tuple[StorageError | None, BaseException | None]:
        """Return the translated error and its cause, or None and None for an error that is not translated."""
        if isinstance(error, UnsupportedServer | PoolTimeoutError):  # the cause of the first may be a driver's error
            return _without_cause(error), None
        cause = self._dialect.driver_error(error)
        if self._dialect.is_driver_error(cause) or isinstance(error, DBAPIError):
            return self._translate_driver_error(error, cause), self._dialect.cause_without_values(cause)
        if isinstance(error, OSError):  # drivers do not wrap these (refused, reset, unreachable, timed out, TLS)
            reason = f"{type(error).__name__}: {error.strerror or 'no answer'}"
            return StorageConnectionError(reason, transient=True), self._dialect.cause_without_values(error)
        if isinstance(error, SQLAlchemyError):
            return QueryError(type(error).__name__), self._dialect.cause_without_values(error.__cause__)
        return _without_cause(error), None

    def _translate_driver_error(self, error: Exception, cause: BaseException) -> StorageError:
        invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
        error_class = self._dialect.classify_error(cause, invalidated=invalidated)
        kind: type[StorageError] = StorageConnectionError if error_class.connection else QueryError
        if self._group and error_class.code in self._dialect.lock_timeout_codes:
            kind = LockTimeoutError
        message = f"[{error_class.code}] {error_class.message}" if error_class.code else error_class.message
        return kind(message, transient=error_class.transient, code=error_class.code or None)


def _without_cause(error: Exception) -> StorageError | None:
    """Translate an error that is not a driver's; return None for one that is not translated."""
    if isinstance(error, UnsupportedServer):
        return StorageConnectionError(str(error))
    if isinstance(error, PoolTimeoutError):
        return BusyError("no connection of the pool became free within pool_timeout", transient=True)
    if isinstance(error, ValueError):  # its message may quote the value
        return QueryError("a stored value cannot be read")
    return None


def _raise(error: BaseException, cause: BaseException | None) -> NoReturn:
    """Raise an error that has a cause, and not the exception that is being handled as its context."""
    try:
        raise error from cause
    finally:
        error.__context__ = None


def _cancellations() -> int:
    """Return how often the running task has been cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
