"""The exception classes of this package.

::

    StorageError
    ├── StorageConnectionError   connection error: the database could not be reached, or the connection was lost
    ├── QueryError               query error: the database refused a statement, or the call is not allowed
    ├── SerializationError       serialization error: a value that not every database can store exactly
    ├── NotFoundError            not found: not raised by this package; for application code
    ├── EncryptionError          encryption error: a document cannot be decrypted, or a key cannot be used
    ├── TenantMismatchError      tenant mismatch: a row of another tenant, or a missing tenant
    └── InvalidArgumentError     invalid argument: an argument is invalid; also a ValueError
"""

from typing import ClassVar


class StorageError(Exception):
    """The base class of all errors of this package. ``str(error)`` begins with the ``prefix`` of its class.

    ``operation``: the public method that failed (``"save_trace"``), or None if no method raised the error.
    ``transient``: whether the same call may succeed if it is repeated.
    ``code``: the code with which the database or its driver reported the error, such as ``"23505"`` (PostgreSQL's
    SQLSTATE), ``"1062"`` or ``"ORA-00001"``; None if there was none.
    ``__cause__``: the driver's exception without bound values, if there was one.
    """

    prefix: ClassVar[str] = "storage error"

    def __init__(
        self, message: str, *, operation: str | None = None, transient: bool = False, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.transient = transient
        self.code = code

    def __str__(self) -> str:
        return ": ".join(part for part in (self.prefix, self.operation, self.message) if part)


class StorageConnectionError(StorageError):
    """The database cannot be used: it is unreachable or unsuitable, the connection was lost, or the call timed out."""

    prefix = "connection error"


class ClosedError(StorageConnectionError):
    """The storage is closed. Callers know it as a :class:`StorageConnectionError`. It ends ``follow_events``."""


class TimedOutError(StorageConnectionError):
    """A call has reached its timeout. Callers know it as a :class:`StorageConnectionError`."""


class QueryError(StorageError):
    """The database returned an error for a statement, or the call is not allowed in the current state."""

    prefix = "query error"


class SerializationError(StorageError):
    """A value that not every database can store exactly. Nothing was sent."""

    prefix = "serialization error"


class EncryptionError(StorageError):
    """A stored document cannot be decrypted, or a key cannot be used. Nothing was written.

    ``code`` is one of these: ``"value_not_encrypted"``, ``"value_not_authentic"`` (it was changed or moved, or the key
    is wrong), ``"value_encrypted"`` (it is encrypted where it must not be), ``"key_missing"``, ``"key_unavailable"``
    and ``"key_in_use"`` (of a master key), ``"tenant_secret_missing"`` and ``"tenant_secret_unavailable"``.
    """

    prefix = "encryption error"


class NotFoundError(StorageError):
    """A requested object does not exist. For application code: this package's ``get_*`` methods return None."""

    prefix = "not found"


class TenantMismatchError(StorageError):
    """A row belongs to another tenant than the call, or the call has no tenant although one is required."""

    prefix = "tenant mismatch"


class InvalidArgumentError(StorageError, ValueError):
    """An argument that is not a value of a row, such as a limit or an id, is invalid. Nothing was sent."""

    prefix = "invalid argument"
