"""The lines of an export file: the header, the rows and the trailer, as ``docs/reference/transfer.md`` states them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from math import isfinite
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

import orjson

from axon_storage import schema
from axon_storage.errors import InvalidArgumentError, SerializationError, StorageError
from axon_storage.model.cached import cached
from axon_storage.model.ids import check_id, timestamp_of
from axon_storage.model.json import decode_json, parse_json
from axon_storage.model.rows import ROW_TYPES, Row, check_row, fields_of
from axon_storage.sql.tables import CREATED_ID, EXPIRES_AT, TABLES, UPDATED_AT
from axon_storage.sql.transfer import whole_table
from axon_storage.sql.types import Float64, JsonAsText

FORMAT = "axon-storage-export"
VERSION = 1

_ROW_TYPES = {row_type.TABLE: row_type for row_type in ROW_TYPES}
_MOMENT = "timestamp_utc"
_SHOWN = 40


class TableRow(NamedTuple):
    """A row of a table, with the values of all columns, in the order of the table."""

    row_type: type[Row]
    tenant: str
    values: tuple[Any, ...]


class _Layout(NamedTuple):
    """Where the columns of a table are in its rows.

    ``fields``: name, position and whether it is JSON. ``floats``: names and positions of those that are floats.
    ``row_id``, ``others``: the columns that are not fields.
    """

    fields: tuple[tuple[str, int, bool], ...]
    floats: tuple[tuple[str, int], ...]
    tenant: int
    row_id: tuple[str, int] | None
    others: tuple[tuple[str, int], ...]


@cached
def _layout(row_type: type[Row]) -> _Layout:
    table = whole_table(row_type)
    names = table.c.keys()
    fields = [name for name, _ in fields_of(row_type) if name != "tenant_id"]
    id_name = CREATED_ID if CREATED_ID in names else None if row_type.KEY else "id"
    return _Layout(
        tuple((name, names.index(name), isinstance(table.c[name].type, JsonAsText)) for name in fields),
        tuple((name, names.index(name)) for name in fields if isinstance(table.c[name].type, Float64)),
        names.index("tenant_id"),
        None if id_name is None else (id_name, names.index(id_name)),
        tuple((name, names.index(name)) for name in (_MOMENT, EXPIRES_AT, UPDATED_AT) if name in names),
    )


def header_line() -> bytes:
    """Return the first line of a file that is written now."""
    created = datetime.now(UTC).isoformat()
    return _line(
        {
            "format": FORMAT,
            "version": VERSION,
            "package": version("axon-storage"),
            "revision": schema.head(),
            "created": created,
        }
    )


def row_line(row_type: type[Row], values: tuple[Any, ...]) -> bytes:
    """Return the line of a table's row. Raise a SerializationError for a number that JSON does not have."""
    layout = _layout(row_type)
    for name, at in layout.floats:
        if not isfinite(values[at]):  # another program has stored it
            raise SerializationError(f"{row_type.TABLE}.{name}: {values[at]} is not a finite number; correct the row")
    fields = {name: _fragment(values[at]) if is_json else values[at] for name, at, is_json in layout.fields}
    line = {"table": row_type.TABLE, "tenant": values[layout.tenant], "fields": fields}
    if layout.row_id is not None:
        row_id = values[layout.row_id[1]]
        line |= {"id": row_id, "timestamp": timestamp_of(row_id)}
    return _line(line | {_shown(name): values[at] for name, at in layout.others})


def trailer_line(rows: Mapping[str, int], sha256: str) -> bytes:
    """Return the last line. ``rows``: the number of rows by table. ``sha256``: that of all bytes before, in hex."""
    return _line({"rows": {table: rows.get(table, 0) for table in _ROW_TYPES}, "sha256": sha256})


def check_header(line: bytes) -> None:
    """Raise an InvalidArgumentError unless a file with this first line can be imported."""
    header = _object(line) if line.endswith(b"\n") else {}
    if header.get("format") != FORMAT:
        refuse("the first line is not the header of an export; pass a file that export() has written")
    if type(found := header.get("version")) is not int or found < 1:
        refuse("the header has no version; pass a file that export() has written")
    if found > VERSION:
        refuse(f"version {found} of the format; this package reads version {VERSION}: upgrade the package")
    revisions = [revision.number for revision in schema.history()]
    if header.get("revision") not in revisions:
        refuse(f"a schema revision that this package, at {revisions[-1]}, does not have: upgrade the package")


def parse_row(line: bytes) -> TableRow | None:
    """Return the row of a line, with its values checked as for a save; None if the line is the trailer."""
    members = _object(line)
    if "table" not in members:
        return None
    row_type = _ROW_TYPES.get(str(members.get("table")))
    if row_type is None:
        refuse("an unknown table")
    layout, fields = _layout(row_type), members.get("fields")
    ids = [] if layout.row_id is None else ["id", "timestamp"]
    others = [_shown(name) for name, _ in layout.others]
    _check_names(members, {"table", "tenant", "fields", *ids, *others})
    if type(fields) is not dict:
        refuse("fields is not an object")
    _check_names(fields, {name for name, _, _ in layout.fields})
    try:
        checked = check_row(row_type(tenant_id=members["tenant"], **fields)).values
    except StorageError as error:
        raise InvalidArgumentError(error.message) from None
    if layout.row_id is not None:
        checked[layout.row_id[0]] = row_id = _id(members["id"])
        if _timestamp(members["timestamp"], is_optional=False) != timestamp_of(row_id):
            refuse("a timestamp is not that of its id")
    for name, _ in layout.others:
        checked[name] = _timestamp(members[_shown(name)], is_optional=name != _MOMENT)
    return TableRow(row_type, members["tenant"], tuple([checked[column.name] for column in TABLES[row_type].c]))


def refuse(reason: str) -> NoReturn:
    """Raise an InvalidArgumentError for a file."""
    raise InvalidArgumentError(reason)


def _shown(column: str) -> str:
    return "timestamp" if column == _MOMENT else column


def _line(value: dict[str, Any]) -> bytes:
    # orjson does not know the UUIDs of asyncpg, which are a subclass
    return orjson.dumps(value, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


def _fragment(text: str) -> orjson.Fragment:
    """Return a stored JSON document for a line, without line breaks, which another program may have stored."""
    has_breaks = "\n" in text or "\r" in text
    return orjson.Fragment(orjson.dumps(decode_json(text)) if has_breaks else text)


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = parse_json(line)
    except ValueError:
        refuse("not JSON")
    if type(value) is not dict:
        refuse("not a JSON object")
    return value


def _check_names(members: dict[str, Any], expected: set[str]) -> None:
    for name in sorted(members.keys() ^ expected):
        refuse(f"{name[:_SHOWN]!a}: {'missing' if name in expected else 'unknown'} member")


def _id(value: Any) -> UUID:
    try:
        return check_id(UUID(value))
    except (ValueError, AttributeError, TypeError):
        refuse("id: not a UUIDv7")


def _timestamp(value: Any, *, is_optional: bool) -> datetime | None:
    if value is None and is_optional:
        return None
    try:
        timestamp = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        refuse("a timestamp is not in ISO 8601")
    if timestamp.utcoffset() is None:
        refuse("a timestamp has no time zone")
    try:
        return timestamp.astimezone(UTC)
    except OverflowError:
        refuse("a timestamp is out of range")
