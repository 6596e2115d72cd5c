"""From a method's arguments to checked ones, each refusal named after the method."""

from datetime import datetime
from types import TracebackType
from typing import Any
from uuid import UUID

from axon_storage.errors import SerializationError, StorageError, TenantMismatchError
from axon_storage.model.ids import first_id
from axon_storage.model.rows import ROW_TYPES, CheckedRow, Row, check_field, check_row

_LONGEST_PAGE = 2**63 - 1


class named:  # noqa: N801  # reads as the word it is in a with statement
    """Names the operation in an error raised within; a class, since every call passes through it."""

    __slots__ = ("_operation",)

    def __init__(self, operation: str) -> None:
        self._operation = operation

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, StorageError) and error.operation is None:
            error.operation = self._operation


def checked(row: Row, row_type: type[Row], tenant: str) -> CheckedRow:
    """Give a row of a type (of any, with ``Row``) to store as a tenant's."""
    # not isinstance: a subclass has no table, and would come back as its parent
    if type(row) not in (ROW_TYPES if row_type is Row else (row_type,)):
        raise SerializationError(f"{type(row).__name__[:40]} is not a {row_type.__name__}")
    result = check_row(row)
    if row.tenant_id != tenant:
        raise TenantMismatchError(
            f"{row.TABLE}: the row belongs to {row.tenant_id[:40]!r}, the call to {tenant[:40]!r}"
        )
    return result


def checked_fields(row_type: type[Row], fields: dict[str, Any]) -> dict[str, Any]:
    """Give the values of some of a row type's fields, to search for."""
    return {name: check_field(row_type, name, value) for name, value in fields.items()}


def check_page(*, low: int = 0, **numbers: int) -> None:
    """Raise a ValueError where one of the numbers that bound a page is none, or too small or large."""
    for name, value in numbers.items():
        if type(value) is not int or not low <= value <= _LONGEST_PAGE:
            raise ValueError(f"{name} must be an integer from {low} to 2^63-1")


def period(since: datetime | None, until: datetime | None) -> tuple[UUID, UUID]:
    """Give two ids, such that those between them are of moments from ``since`` to before ``until``."""
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and not (isinstance(moment, datetime) and moment.utcoffset() is not None):
            raise ValueError(f"{name} must be a datetime with a time zone")
    after = UUID(int=0) if since is None else UUID(int=first_id(since).int - 1)
    before = UUID(int=2**128 - 1) if until is None else first_id(until)
    return after, before
