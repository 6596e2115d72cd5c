"""Ages and times as options and policies contain them."""

import re
from datetime import UTC, datetime, timedelta

import typer

from axon_storage.cli.terminal import quoted

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST = timedelta(days=36_500)
_AGE = re.compile(r"(\d{1,6})\s*([smhdw])")
_EXAMPLES = "45s, 30m, 12h, 30d or 8w"


def age_of(text: str, place: str = "") -> timedelta:
    """Return an age such as ``30d``; exit with status 2 if it is not one, or is 0. ``place``: where it was found."""
    found = _AGE.fullmatch(text.strip())
    if found is None or not int(found[1]):
        raise typer.BadParameter(f"{place}{quoted(text)} is not an age such as {_EXAMPLES}")
    age = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if age > _LONGEST:
        raise typer.BadParameter(f"{place}{quoted(text)} is too long an age: at most {_LONGEST.days} days")
    return age


def time_of(text: str | None) -> datetime | None:
    """Return a time in ISO 8601, in UTC if it names no time zone, or the time that is an age such as ``30d`` ago."""
    if text is None:
        return None
    if _AGE.fullmatch(text.strip()):
        return datetime.now(UTC) - age_of(text)
    try:
        time = datetime.fromisoformat(text.strip())
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{quoted(text)} is neither a time such as 2026-01-31T12:00Z nor an age such as {_EXAMPLES}"
        raise typer.BadParameter(message) from None
