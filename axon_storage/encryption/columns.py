"""The columns that can be encrypted: the JSON and long text columns of the row types."""

from collections.abc import Iterable
from typing import NamedTuple

from axon_storage.errors import InvalidArgumentError
from axon_storage.model.cached import cached
from axon_storage.model.rows import ROW_TYPES, Row, fields_of
from axon_storage.model.values import Json, Text

_SHOWN = 40


class DocumentColumn(NamedTuple):
    """A column that can be encrypted."""

    name: str
    is_json: bool


@cached
def document_columns(row_type: type[Row]) -> tuple[DocumentColumn, ...]:
    """Return the columns of a row type that can be encrypted. None of them can be NULL."""
    fields = [(name, kind) for name, kind in fields_of(row_type) if isinstance(kind, Json | Text)]
    return tuple([DocumentColumn(name, isinstance(kind, Json)) for name, kind in fields])


@cached
def all_columns() -> frozenset[str]:
    """Return the names of all columns that can be encrypted, as ``"sessions.value"``."""
    return frozenset(f"{row_type.TABLE}.{name}" for row_type in ROW_TYPES for name, _ in document_columns(row_type))


def check_columns(columns: Iterable[str] | None) -> frozenset[str]:
    """Return the columns to encrypt; raise an InvalidArgumentError for one that cannot be encrypted."""
    if columns is None:
        return all_columns()
    if isinstance(columns, str):
        raise InvalidArgumentError("columns: a string is not a list of columns; pass a list")
    given = frozenset(columns)
    for name in given - all_columns():
        known = ", ".join(sorted(all_columns()))
        raise InvalidArgumentError(f"columns: {name[:_SHOWN]!a} cannot be encrypted; these can: {known}")
    if not given:
        raise InvalidArgumentError("columns: no column would be encrypted; leave encryption out")
    return given
