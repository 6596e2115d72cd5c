"""What all row types have in common: the base class, the fields of a row type, and the check of a row's values."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import repeat
from operator import call
from types import NoneType
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar, get_args, get_type_hints
from uuid import UUID

import orjson

from axon_storage.errors import SerializationError
from axon_storage.model.cached import cached
from axon_storage.model.checks import MAX_ROW_BYTES, refusal, utf8_size
from axon_storage.model.json import JsonText, parse_json
from axon_storage.model.values import Kind, Nullable, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The base class of all rows. Every row has a tenant; every row type has a table and, unless it is a log, a key."""

    TABLE: ClassVar[str] = "row"
    KEY: ClassVar[tuple[str, ...]] = ()
    """The fields that with ``tenant_id`` are the primary key; empty for a log, whose rows have generated ids."""

    tenant_id: TenantId

    def to_json(self) -> bytes:
        """Return the row as a JSON object with one member per field; a refused value is a SerializationError."""
        checked = check_row(self)
        return orjson.dumps({name: _fragment(value, checked.values[name]) for name, value in _items(self)})

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Return the row of a JSON object. Unknown, missing or mistyped fields are a SerializationError."""
        try:
            members = parse_json(data)
        except ValueError as refused:
            raise refusal(cls.TABLE, refused) from None
        if type(members) is not dict:
            raise SerializationError(f"{cls.TABLE}: {type(members).__name__} is not an object")
        names = {field.name for field in fields_of(cls)}
        for name in [*members.keys() - names, *names - members.keys()]:
            raise SerializationError(
                f"{cls.TABLE}.{ascii(name[:20])[1:-1][:40]}: {'missing' if name in names else 'unknown'} field"
            )
        row = cls(**members)
        check_row(row)
        return row


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Recorded(Generic[R]):
    """A stored row with its id and timestamp.

    ``id`` is the UUIDv7 that gives the order of rows; that of a trace is from its first save. ``timestamp`` is the UTC
    time at which the id was made.
    """

    id: UUID
    timestamp: datetime
    row: R


class Field(NamedTuple):
    """A field's name and kind."""

    name: str
    kind: Kind


class CheckedRow(NamedTuple):
    """A row's values as they are stored (JSON as text), and the size of its text and JSON in bytes."""

    row_type: type[Row]
    values: dict[str, Any]
    size: int


@cached
def fields_of(row_type: type[Row]) -> tuple[Field, ...]:
    """Return a row type's fields in their order, each with its kind."""
    hints = get_type_hints(row_type, include_extras=True)
    return tuple(Field(field.name, _kind_of(hints[field.name])) for field in fields(row_type))


@cached
def maker_of(row_type: type[R]) -> Callable[[Iterable[Any]], R]:
    """Return a function that makes a row from its fields' values, in the order of the fields.

    It sets the slots directly, which takes a third of the constructor's time.
    """
    slots = [getattr(row_type, field.name).__set__ for field in fields_of(row_type)]
    run = deque[None](maxlen=0).extend

    def make(values: Iterable[Any]) -> R:
        row = object.__new__(row_type)
        run(map(call, slots, repeat(row), values))
        return row

    return make


def check_row(row: Row) -> CheckedRow:
    """Return a row's values as they are stored; a refused value is a SerializationError that names its place."""
    values, size, name = {}, 0, ""
    try:
        for name, check, counts in _checks_of(type(row)):
            values[name] = value = check(getattr(row, name))
            if counts and value is not None:
                size += utf8_size(value)
    except ValueError as refused:
        raise refusal(f"{row.TABLE}.{name}", refused) from None
    if size > MAX_ROW_BYTES:
        raise SerializationError(f"{row.TABLE}: {size} bytes of text and JSON in one row, at most {MAX_ROW_BYTES}")
    return CheckedRow(type(row), values, size)


@cached
def _checks_of(row_type: type[Row]) -> list[tuple[str, Callable[[Any], Any], bool]]:
    """Return each field's name, its check, and whether it counts towards the size of the row."""
    return [(name, kind.check, kind.counts) for name, kind in fields_of(row_type)]


def check_field(row_type: type[Row], name: str, value: Any) -> Any:
    """Return one field's value as it is stored; a refused value is a SerializationError, as in :func:`check_row`."""
    return check_values(row_type, name, [value])[0]


def check_values(row_type: type[Row], name: str, values: Iterable[Any]) -> list[Any]:
    """Return several values of one field as they are stored."""
    check = next(field.kind.check for field in fields_of(row_type) if field.name == name)
    given = list(values)  # outside of the try: an error of the caller's iterable is not translated
    try:
        return [check(value) for value in given]
    except ValueError as refused:
        raise refusal(f"{row_type.TABLE}.{name}", refused) from None


def _kind_of(hint: Any) -> Kind:
    options = get_args(hint)
    if NoneType in options:
        return Nullable(_kind_of(options[0]))
    return next(option for option in options if isinstance(option, Kind))


def _items(row: Row) -> list[tuple[str, Any]]:
    return [(field.name, getattr(row, field.name)) for field in fields_of(type(row))]


def _fragment(value: Any, checked: Any) -> Any:
    """Return what ``to_json`` encodes for a field: a JSON value as it is, any other as checked (an int as a float)."""
    return value if isinstance(checked, JsonText) else checked
