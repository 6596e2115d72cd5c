"""Parses database URLs, and refuses those whose password would appear in messages."""

import re

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from axon_storage.dialects import of_scheme
from axon_storage.errors import StorageConnectionError

_WITHOUT_SERVER = re.compile(r"[\w+]+:///")
_CREDENTIALS = re.compile(r"^[\w+]+://([^:/]*(:[^@]*)?@)?")  # as SQLAlchemy parses them


def parse_url(url: str | URL) -> URL:
    """Parse a URL; raise a :class:`StorageConnectionError` if it cannot be parsed or is ambiguous."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # without the cause: its message may quote the URL, and so the password
        form = "its form is scheme://user:password@host/name"
        raise StorageConnectionError(f"the database URL cannot be parsed: {form}") from None
    check_at_signs(url)
    return parsed


def check_at_signs(url: str | URL) -> None:
    """Raise a :class:`StorageConnectionError` for an unescaped '@' after the credentials.

    It is part of the password. The rest of the password would be parsed as the host, and would appear in messages.
    """
    if isinstance(url, URL):
        parts = [url.host or ""]
    elif _WITHOUT_SERVER.match(url):
        return
    else:
        location, _, query = _CREDENTIALS.sub("", url, count=1).partition("?")
        parts = [location, *(option.partition("=")[0] for option in query.split("&"))]
    if any("@" in part for part in parts):
        raise StorageConnectionError(
            "an '@' in the database URL is not escaped: write %40 for each one in the user name, password and database"
        )


def script_url(url: str | URL) -> URL:
    """Return the URL for writing a migration script; it needs no driver and no connection.

    Unlike the URL of an engine, it distinguishes MariaDB from MySQL.
    """
    parsed = parse_url(url)
    try:
        dialect = of_scheme(parsed.drivername)
    except ValueError as refused:
        raise StorageConnectionError(str(refused)) from None
    scheme = parsed.drivername.partition("+")[0]
    return URL.create(dialect.scheme_aliases.get(scheme, scheme))
