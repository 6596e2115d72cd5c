"""The base class of all row types, and functions that describe and validate rows."""

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
from axon_storage.model.json import JsonText, decode_json, parse_json
from axon_storage.model.values import UNSET, Kind, Nullable, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The base class of all row types. A row has a tenant. A row type has a table and, unless append-only, a key."""

    TABLE: ClassVar[str] = "row"
    KEY: ClassVar[tuple[str, ...]] = ()
    """The fields of the primary key after ``tenant_id``. Empty for append-only types, whose rows have generated ids."""

    tenant_id: TenantId = UNSET
    """The tenant. If it is left out, the row is stored for the tenant of the call."""

    def to_json(self) -> bytes:
        """Return the row as a JSON object with one member per field; raise a SerializationError if it is invalid.

        A row without ``tenant_id`` is invalid.
        """
        checked = check_row(self)
        return orjson.dumps({name: _fragment(value, checked.values[name]) for name, value in _items(self)})

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        """Create a row from a JSON object. Raise a SerializationError for unknown, missing or invalid fields."""
        try:
            members = parse_json(data)
        except ValueError as refused:
            raise refusal(cls.TABLE, refused) from None
        if type(members) is not dict:
            raise SerializationError(f"{cls.TABLE}: {type(members).__name__} is not a JSON object")
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

    ``id``: the UUIDv7 by which rows are ordered; a trace gets it at its first save. ``timestamp``: the UTC time at
    which the id was created.
    """

    id: UUID
    timestamp: datetime
    row: R


class Field(NamedTuple):
    """A field's name and kind."""

    name: str
    kind: Kind


class CheckedRow(NamedTuple):
    """The validated values of a row in stored form (JSON as text), and the size of its text and JSON in bytes.

    A backend may add columns of its own to ``values``.

    ``id``: the id to store the row under; None: a new id, or none if its type has no ids.
    """

    row_type: type[Row]
    values: dict[str, Any]
    size: int
    id: UUID | None = None

    def to_row(self) -> Row:
        """Return the row, with new objects for JSON values."""
        values = [self.values[name] for name, _kind in fields_of(self.row_type)]
        return maker_of(self.row_type)(
            decode_json(str(value)) if isinstance(value, JsonText) else value for value in values
        )


@cached
def fields_of(row_type: type[Row]) -> tuple[Field, ...]:
    """Return the fields of a row type, in order."""
    hints = get_type_hints(row_type, include_extras=True)
    return tuple(Field(field.name, _kind_of(hints[field.name])) for field in fields(row_type))


@cached
def maker_of(row_type: type[R]) -> Callable[[Iterable[Any]], R]:
    """Return a function that creates a row from the values of its fields, in field order.

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
    """Validate a row, and return its values in stored form; raise a SerializationError that names an invalid value."""
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
    """Validate a value of a field, and return it in stored form; raise a SerializationError if it is invalid."""
    return check_values(row_type, name, [value])[0]


def check_values(row_type: type[Row], name: str, values: Iterable[Any], *, place: str = "") -> list[Any]:
    """Validate several values of a field, as :func:`check_field` does. ``place``: the text for it in an error."""
    check = next(field.kind.check for field in fields_of(row_type) if field.name == name)
    given = list(values)  # outside the try block, so that an error of the caller's iterable is not translated
    try:
        return [check(value) for value in given]
    except ValueError as refused:
        raise refusal(place or f"{row_type.TABLE}.{name}", refused) from None


def _kind_of(hint: Any) -> Kind:
    options = get_args(hint)
    if NoneType in options:
        return Nullable(_kind_of(options[0]))
    return next(option for option in options if isinstance(option, Kind))


def _items(row: Row) -> list[tuple[str, Any]]:
    return [(field.name, getattr(row, field.name)) for field in fields_of(type(row))]


def _fragment(value: Any, checked: Any) -> Any:
    """Return the value that ``to_json`` encodes: a JSON value unchanged, any other value in stored form."""
    return value if isinstance(checked, JsonText) else checked
