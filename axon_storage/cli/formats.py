"""Numbers, sizes, times and rows as text for people."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from axon_storage.model.rows import Recorded, Row, fields_of

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_LONGEST = 60


def size(number: int | None) -> str:
    """Return a number of bytes with a unit, or a dash if it is unknown."""
    if number is None:
        return "-"
    value, unit = float(number), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{number} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def counted(number: int, noun: str) -> str:
    """Return a number with a noun, such as ``1 row`` or ``1,000 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def moment(time: datetime | None) -> str:
    """Return a time in UTC to the second, or a dash."""
    return "-" if time is None else time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def cell(value: Any) -> str:
    """Return a value of a row as it is shown in a table; a long one is shortened."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def headers_of(row_type: type[Row]) -> list[str]:
    """Return the fields of a row type without the tenant, which is the same for all rows that are shown."""
    return [name for name, _ in fields_of(row_type) if name != "tenant_id"]


def row_json(row: Row | Recorded[Any]) -> str:
    """Return a row as JSON, exactly; that of a recorded row begins with its id and timestamp."""
    if not isinstance(row, Recorded):
        return row.to_json().decode()
    head = f'{{"id":"{row.id}","timestamp":"{row.timestamp.isoformat()}",'
    return head + str(row.row.to_json().decode()[1:])


def document(value: Any) -> Any:
    """Return a dataclass as a dict of JSON values; times are in ISO 8601."""
    return json.loads(json.dumps(asdict(value), default=_iso))


def _iso(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
