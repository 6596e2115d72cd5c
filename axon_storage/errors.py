"""Every error a storage raises, as one tree.

::

    StorageError
    ├── StorageConnectionError   connection error: the database could not be reached, or was lost
    ├── QueryError               query error: the database refused a statement
    ├── SerializationError       serialization error: a value outside the domain, refused before anything was sent
    ├── NotFoundError            not found: what the caller asked for is not there
    ├── TenantMismatchError      tenant mismatch: a row of one tenant given to another, or no tenant at all
    └── InvalidArgumentError     invalid argument: an argument out of its range; also a ValueError
"""

from typing import ClassVar


class StorageError(Exception):
    """The base of all errors here; ``str(error)`` begins with the kind's prefix.

    ``operation`` is the public method that failed (``"save_trace"``), or None for an error built by hand.
    ``transient`` is True where the same call may succeed when tried again.
    ``__cause__`` is the driver's own error, where there was one, without bound values.
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
    """The database could not be reached, refused the login, is not fit for use, or the connection was lost."""

    prefix = "connection error"


class QueryError(StorageError):
    """The database refused or failed a statement."""

    prefix = "query error"


class SerializationError(StorageError):
    """A value outside the portable domain; nothing was sent."""

    prefix = "serialization error"


class NotFoundError(StorageError):
    """Something asked for by name is not there: for callers to raise, since here ``get_*`` gives None."""

    prefix = "not found"


class TenantMismatchError(StorageError):
    """A row that belongs to another tenant than the call, or a call without the tenant it must have."""

    prefix = "tenant mismatch"


class InvalidArgumentError(StorageError, ValueError):
    """An argument that is not a value of a row, such as a limit or an id, is out of its range; nothing was sent."""

    prefix = "invalid argument"
