"""Parses database URLs, keeps their secrets out of tracebacks, and refuses those whose password would be shown."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from axon_storage.dialects import of_scheme
from axon_storage.errors import StorageConnectionError

T = TypeVar("T")

_WITHOUT_SERVER = re.compile(r"[\w+]+:///")
_CREDENTIALS = re.compile(r"^[\w+]+://([^:/]*(:[^@]*)?@)?")  # as SQLAlchemy parses them
_SECRET_PARAMETER = re.compile("pass|secret|token|credential|^dsn$", re.IGNORECASE)


class _HiddenUrl(str):
    """A URL whose ``repr`` does not show it, because reports of errors contain the ``repr`` of local variables."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<database URL>'"


def hidden(url: T) -> T:
    """Return a URL as a string with another ``repr``, or any other object as it is.

    Every public function that takes a URL begins with it, so that its frame in a traceback does not show the password.
    """
    return _HiddenUrl(url) if type(url) is str else url  # type: ignore[return-value]  # it is a str


def parse_url(url: str | URL) -> URL:
    """Parse a URL; raise a :class:`StorageConnectionError` if it cannot be parsed or is ambiguous."""
    url = hidden(url)
    if not _can_be_parsed(url):
        form = "its form is scheme://user:password@host/name"
        raise StorageConnectionError(f"the database URL cannot be parsed: {form}")
    check_at_signs(url)
    return make_url(url)


def _can_be_parsed(url: str | URL) -> bool:
    # The error of parse_url must not have SQLAlchemy's as its context: its message and its frames contain the password.
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        return False
    return True


class Secrets:
    """Arguments for connecting, with a ``repr`` that does not show them."""

    __slots__ = ("arguments",)

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.arguments = arguments


def split_secrets(url: URL) -> tuple[URL, Secrets]:
    """Return a URL without the parameters that may contain secrets, and these. The ``repr`` of a URL shows them."""
    secrets = {name: value for name, value in url.query.items() if _SECRET_PARAMETER.search(name)}
    return url.difference_update_query(secrets), Secrets(secrets)


def check_at_signs(url: str | URL) -> None:
    """Raise a :class:`StorageConnectionError` for an unescaped '@' after the credentials.

    It is part of the password. The rest of the password would be parsed as the host, and would appear in messages.
    """
    url = hidden(url)
    if _has_unescaped_at(url):
        raise StorageConnectionError(
            "an '@' in the database URL is not escaped: write %40 for each one in the user name, password and database"
        )


def _has_unescaped_at(url: str | URL) -> bool:
    if isinstance(url, URL):
        return "@" in (url.host or "")
    if _WITHOUT_SERVER.match(url):
        return False
    location, _, query = _CREDENTIALS.sub("", url, count=1).partition("?")
    return any("@" in part for part in (location, *(option.partition("=")[0] for option in query.split("&"))))


def script_url(url: str | URL) -> URL:
    """Return the URL for writing a migration script; it needs no driver and no connection.

    Unlike the URL of an engine, it distinguishes MariaDB from MySQL.
    """
    url = hidden(url)
    parsed = parse_url(url)
    try:
        dialect = of_scheme(parsed.drivername)
    except ValueError as refused:
        raise StorageConnectionError(str(refused)) from None
    scheme = parsed.drivername.partition("+")[0]
    return URL.create(dialect.scheme_aliases.get(scheme, scheme))
