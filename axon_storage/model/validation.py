"""Validation of method arguments. Error messages name the argument."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from types import TracebackType
from typing import Any
from uuid import UUID

from axon_storage.errors import InvalidArgumentError, SerializationError, StorageError, TenantMismatchError
from axon_storage.model.ids import check_id, first_id, timestamp_of
from axon_storage.model.rows import ROW_TYPES, CheckedRow, Recorded, Row, TraceRow, check_field, check_row, check_values
from axon_storage.model.values import UNSET

_MAX_PAGE = 2**63 - 1
_WITH_ID = frozenset({TraceRow, *(row_type for row_type in ROW_TYPES if not row_type.KEY)})


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


def validate_row(row: Row | Recorded[Any], row_type: type[Row], tenant: str) -> CheckedRow:
    """Validate a row that a tenant saves, and return its values, with the tenant if the row has none.

    ``row_type``: its type; ``Row`` allows any type, and a :class:`Recorded`, whose id is returned too.
    """
    # Not isinstance, because a subclass has no table, and would be loaded as its base class.
    if isinstance(row, Recorded) or type(row) not in (ROW_TYPES if row_type is Row else (row_type,)):
        if isinstance(row, Recorded) and row_type is Row:
            return _validate_recorded(row, tenant)
        raise SerializationError(f"{type(row).__name__[:40]} is not a {row_type.__name__}")
    if row.tenant_id is UNSET:
        return check_row(replace(row, tenant_id=tenant))
    checked = check_row(row)
    if row.tenant_id != tenant:
        raise TenantMismatchError(
            f"{row.TABLE}: the row belongs to tenant {row.tenant_id[:40]!r}, the call to tenant {tenant[:40]!r}"
        )
    return checked


def _validate_recorded(recorded: Recorded[Any], tenant: str) -> CheckedRow:
    row_type = type(recorded.row)
    if row_type not in _WITH_ID:
        raise InvalidArgumentError(f"Recorded.row: a {row_type.__name__[:40]} has no id; pass the row itself")
    checked = validate_row(recorded.row, row_type, tenant)
    row_id = check_id(recorded.id, "Recorded.id", "pass a Recorded that an iterator returned")
    if recorded.timestamp != timestamp_of(row_id):
        raise InvalidArgumentError(f"Recorded.timestamp must be that of its id, {timestamp_of(row_id).isoformat()}")
    return checked._replace(id=row_id)


def refuse_shared_ids(rows: Iterable[CheckedRow]) -> None:
    """Raise an InvalidArgumentError if two traces have one id: pages are read by id, and could skip one of them."""
    trace_of = dict[UUID, Any]()
    for row in rows:
        if row.id is not None and row.row_type is TraceRow:
            trace_id = row.values["trace_id"]
            if trace_of.setdefault(row.id, trace_id) != trace_id:
                raise InvalidArgumentError("Recorded.id: two traces have the same id; pass what an iterator returned")


def validate_fields(row_type: type[Row], fields: dict[str, Any]) -> dict[str, Any]:
    """Validate values of fields to search for, and return them in stored form."""
    return {name: check_field(row_type, name, value) for name, value in fields.items()}


def validate_bounds(row_type: type[Row], name: str, *, start: Any, end: Any) -> dict[str, Any]:
    """Validate the limits of a range of a key field, and return those that are not None, as a request has them."""
    given = (("at_least", "start", start), ("below", "end", end))
    return {
        bound: check_values(row_type, name, [value], place=place)[0]
        for bound, place, value in given
        if value is not None
    }


def validate_flags(**flags: bool) -> None:
    """Raise an InvalidArgumentError for an argument that is neither True nor False."""
    for name, value in flags.items():
        if type(value) is not bool:
            raise InvalidArgumentError(f"{name} must be True or False")


def validate_page(*, low: int = 0, **numbers: int) -> None:
    """Validate limits, offsets and page sizes; raise an InvalidArgumentError below ``low`` and above 2^63-1."""
    for name, value in numbers.items():
        if type(value) is not int or not low <= value <= _MAX_PAGE:
            raise InvalidArgumentError(f"{name} must be an integer from {low} to 2^63-1")


def validate_limit(limit: int | None) -> None:
    """Validate a limit that can be None, as :func:`validate_page` does."""
    if limit is not None:
        validate_page(limit=limit)


def validate_time(**times: datetime) -> None:
    """Raise an InvalidArgumentError unless each argument is a datetime with a time zone, and in UTC also a datetime."""
    for name, time in times.items():
        if not (isinstance(time, datetime) and time.utcoffset() is not None):
            raise InvalidArgumentError(f"{name} must be a datetime with a time zone")
        try:
            time.astimezone(UTC)
        except OverflowError:
            raise InvalidArgumentError(f"{name} must be from the year 1 to the year 9999 in UTC") from None


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


def page_range(
    since: datetime | None, until: datetime | None, after: UUID | None, *, reverse: bool
) -> tuple[UUID, UUID]:
    """Return the exclusive bounds of the ids in a period that follow ``after``, in the order of the iteration."""
    if type(reverse) is not bool:
        raise InvalidArgumentError("reverse must be True or False")
    lower, upper = id_range(since, until)
    if after is None:
        return lower, upper
    after = check_id(after, "after", "pass the id of a row")
    return (lower, min(upper, after)) if reverse else (max(lower, after), upper)


def check_interval(seconds: float, name: str) -> None:
    """Raise an InvalidArgumentError unless an interval is a finite number of seconds above 0."""
    if type(seconds) not in (int, float) or not 0 < seconds < inf:
        raise InvalidArgumentError(f"{name} must be a finite number of seconds above 0")
