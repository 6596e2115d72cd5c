"""The exception hierarchy of this package.

::

    StorageError
    ├── StorageConnectionError   connection error: the database cannot be reached or used, or the connection was lost
    ├── QueryError               query error: the database refused a statement
    ├── SerializationError       serialization error: a value that cannot be stored; nothing was sent
    ├── NotFoundError            not found: for application code; this package does not raise it
    ├── TenantMismatchError      tenant mismatch: a row of another tenant, or a missing tenant
    └── InvalidArgumentError     invalid argument: an invalid argument such as a limit or an id; also a ValueError
"""

from typing import ClassVar


class StorageError(Exception):
    """The base class of all errors of this package; ``str(error)`` begins with the ``prefix`` of its class.

    ``operation`` is the public method that failed (``"save_trace"``), or None.
    ``transient`` says that the same call may succeed when it is repeated.
    ``__cause__`` is the driver's error, without bound values, if there was one.
    """

    prefix: ClassVar[str] = "storage error"

    def __init__(self, message: str, *, operation: str | None = None, transient: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.transient = transient

    def __str__(self) -> str:
        return ": ".join(part for part in (self.prefix, self.operation, self.message) if part)


class StorageConnectionError(StorageError):
    """The database cannot be reached or used, the connection was lost, or a time limit was reached."""

    prefix = "connection error"


class QueryError(StorageError):
    """The database refused a statement, or the call is not allowed in the current state."""

    prefix = "query error"


class SerializationError(StorageError):
    """A value that not every database can store exactly; nothing was sent."""

    prefix = "serialization error"


class NotFoundError(StorageError):
    """Something does not exist. For application code: in this package ``get_*`` returns None instead."""

    prefix = "not found"


class TenantMismatchError(StorageError):
    """A row that belongs to another tenant than the call, or a call without a required tenant."""

    prefix = "tenant mismatch"


class InvalidArgumentError(StorageError, ValueError):
    """An argument, such as a limit, an id or a revision, is invalid; nothing was changed."""

    prefix = "invalid argument"
