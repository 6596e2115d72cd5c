"""Validation of method arguments. Error messages name the argument."""

from datetime import datetime
from math import inf
from types import TracebackType
from typing import Any
from uuid import UUID

from axon_storage.errors import InvalidArgumentError, SerializationError, StorageError, TenantMismatchError
from axon_storage.model.ids import first_id
from axon_storage.model.rows import ROW_TYPES, CheckedRow, Row, check_field, check_row

_MAX_PAGE = 2**63 - 1


class operation_context:  # noqa: N801  # used as a function in a with statement; a class is faster than @contextmanager
    """Context manager that adds the operation's name to a StorageError raised in the block."""

    __slots__ = ("_operation",)

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, StorageError) and error.operation is None:
            error.operation = self._operation


def validate_row(row: Row, row_type: type[Row], tenant: str) -> CheckedRow:
    """Validate a row that a tenant saves, and return its values. ``row_type``: its type; ``Row`` allows any type."""
    # Not isinstance, because a subclass has no table, and would be loaded as its base class.
    if type(row) not in (ROW_TYPES if row_type is Row else (row_type,)):
        raise SerializationError(f"{type(row).__name__[:40]} is not a {row_type.__name__}")
    checked = check_row(row)
    if row.tenant_id != tenant:
        raise TenantMismatchError(
            f"{row.TABLE}: the row belongs to tenant {row.tenant_id[:40]!r}, the call to tenant {tenant[:40]!r}"
        )
    return checked


def validate_fields(row_type: type[Row], fields: dict[str, Any]) -> dict[str, Any]:
    """Validate values of fields to search for, and return them in stored form."""
    return {name: check_field(row_type, name, value) for name, value in fields.items()}


def validate_page(*, low: int = 0, **numbers: int) -> None:
    """Validate limits, offsets and page sizes; raise an InvalidArgumentError below ``low`` and above 2^63-1."""
    for name, value in numbers.items():
        if type(value) is not int or not low <= value <= _MAX_PAGE:
            raise InvalidArgumentError(f"{name} must be an integer from {low} to 2^63-1")


def validate_time(**times: datetime) -> None:
    """Raise an InvalidArgumentError unless each argument is a datetime with a time zone."""
    for name, time in times.items():
        if not (isinstance(time, datetime) and time.utcoffset() is not None):
            raise InvalidArgumentError(f"{name} must be a datetime with a time zone")


def validate_pause(pause: float) -> None:
    """Raise an InvalidArgumentError unless ``pause`` is a finite number of seconds that is not negative."""
    if not (isinstance(pause, int | float) and 0 <= pause < inf):
        raise InvalidArgumentError("pause must be a finite number of seconds, and not negative")


def id_range(since: datetime | None, until: datetime | None) -> tuple[UUID, UUID]:
    """Return the exclusive bounds of the ids of rows from ``since`` (inclusive) to ``until`` (exclusive).

    Ids contain the timestamps of their rows, so that a search by time can use the index of the ids. The column
    ``timestamp_utc`` has no index. None means no bound. A datetime without a time zone raises an
    :class:`InvalidArgumentError`.

    An example in hand-written SQL on PostgreSQL, where ids are of the type ``uuid``::

        day = datetime(2026, 11, 26, tzinfo=UTC)
        after, before = id_range(day, day + timedelta(days=1))
        query = text("SELECT topic FROM event_history WHERE tenant_id = :tenant AND id > :after AND id < :before")
        found = await connection.execute(query, {"tenant": "acme", "after": after, "before": before})

    On SQLite, MySQL, MariaDB and Oracle ids are stored as 32 hexadecimal characters in lower case: bind ``after.hex``
    and ``before.hex``. The ids of traces are in the column ``created_id``.
    """
    validate_time(**{name: time for name, time in (("since", since), ("until", until)) if time is not None})
    after = UUID(int=0) if since is None else UUID(int=first_id(since).int - 1)
    before = UUID(int=2**128 - 1) if until is None else first_id(until)
    return after, before
