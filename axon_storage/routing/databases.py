"""The databases of a router: the URL of each name, and the name of the file of a tenant."""

import re
from collections.abc import Callable, Mapping
from hashlib import sha256

from axon_storage.engine.url import hidden
from axon_storage.errors import InvalidArgumentError, StorageConnectionError

Databases = Mapping[str, str] | Callable[[str], str] | str
"""The URLs of databases by their names: a mapping, a function, or a URL that contains ``{tenant}``."""

_FIELD = "{tenant}"
_MAX_LENGTH = 120
_NAME = re.compile(r"[\w~-][\w.~-]*", re.ASCII)
_ESCAPED = re.compile("[^a-z0-9_-]")


def file_name(tenant: str) -> str:
    """Return the name of the file of a tenant: ASCII, at most 120 characters, another one for each tenant.

    Small letters, digits, ``_`` and ``-`` stay. Any other character becomes ``~`` and the hexadecimal digits of a byte,
    for each byte of its UTF-8, so names differ without regard to case too. A name that is too long is cut, and gets
    ``~~`` and the SHA-256 of the tenant.
    """
    escaped = _ESCAPED.sub(lambda match: "".join(f"~{byte:02x}" for byte in match[0].encode()), tenant)
    if len(escaped) <= _MAX_LENGTH:
        return escaped
    digest = f"~~{sha256(tenant.encode()).hexdigest()}"
    return escaped[: _MAX_LENGTH - len(digest)] + digest


def hidden_urls(databases: Databases) -> Databases:
    """Return the databases with URLs whose ``repr`` does not show them, and refuse a URL without ``{tenant}``."""
    if isinstance(databases, Mapping):
        return {name: hidden(url) for name, url in databases.items()}
    databases = hidden(databases)
    if isinstance(databases, str) and databases.count(_FIELD) != 1:
        raise InvalidArgumentError("databases must be URLs by name, a function, or one URL that contains {tenant}")
    return databases


def urls_of(databases: Databases) -> Callable[[str], str]:
    """Return the function that returns the URL of a name."""
    if isinstance(databases, Mapping):
        return lambda name: _url(databases, name)
    if isinstance(databases, str):
        template = hidden(databases)
        return lambda name: of_template(template, name)
    return databases


def of_template(template: str, name: str) -> str:
    """Return the URL of a name; refuse a name that would change other parts of the URL."""
    if not _NAME.fullmatch(name):
        raise InvalidArgumentError(f"{name[:40]!r} cannot be in a URL: use letters, digits, _, ~, - and dots")
    return hidden(template.replace(_FIELD, name))


def place_by_file(databases: Databases) -> Callable[[str], str] | None:
    """Return how new tenants are placed if nothing else is said: each in its own file, or not at all."""
    return file_name if isinstance(databases, str) else None


def _url(urls: Mapping[str, str], name: str) -> str:
    if name in urls:
        return urls[name]
    raise StorageConnectionError(f"there is no database {name!r} in databases; its names are {', '.join(sorted(urls))}")
