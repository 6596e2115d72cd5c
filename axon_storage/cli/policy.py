"""Retention policies of ``axon-storage prune``: how long the rows of each table are kept."""

import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import typer

from axon_storage.cli.terminal import printable

POLICY_TABLES = (
    "traces",
    "events",
    "audit",
    "costs",
    "sessions",
    "daemons",
    "axon_stores",
    "dataspaces",
    "hibernations",
    "cache",
    "schedules",
)
"""The names of tables in a policy; ``prune_…`` of a storage deletes the rows of each."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36_500)
_AGE = re.compile(r"(\d{1,6})\s*([smhdw])")


def age_of(text: str) -> timedelta:
    """Return an age such as ``30d``; exit with status 2 if it is not one, or is 0."""
    found = _AGE.fullmatch(text.strip())
    if found is None or not int(found[1]):
        raise typer.BadParameter(f"{printable(text)[:40]!r} is not an age such as 45s, 30m, 12h, 30d or 8w")
    age = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if age > _LONGEST:
        raise typer.BadParameter(f"{printable(text)[:40]!r} is too long an age: at most {_LONGEST.days} days")
    return age


def policy_of(file: Path | None, given: Mapping[str, str | None]) -> dict[str, timedelta]:
    """Return the age of each table: that of the option or the environment variable, otherwise that of the file.

    Exit with status 2 if there is none, or if the file cannot be read.
    """
    ages = _from_file(file) if file is not None else {}
    ages |= {name: text for name, text in given.items() if text is not None}
    if not ages:
        raise typer.BadParameter("no policy: give the age of a table, such as --events 30d, or --policy FILE")
    return {name: age_of(ages[name]) for name in POLICY_TABLES if name in ages}


def _from_file(file: Path) -> dict[str, str]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise typer.BadParameter(f"{printable(str(file))}: {printable(str(reason))}") from None
    for name, value in content.items():
        if name not in POLICY_TABLES or not isinstance(value, str):
            lines = f"each line has an age, such as events = '30d', of one of {', '.join(POLICY_TABLES)}"
            raise typer.BadParameter(f"{printable(str(file))}: {printable(name)[:40]!r}: {lines}")
    return content
