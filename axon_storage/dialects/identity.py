"""The base class for what identifies a database in OpenTelemetry's semantic conventions."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from sqlalchemy.engine import URL


class Server(NamedTuple):
    """The address of a server: a host, or the path of a socket; the port, or None for the default; None for a file."""

    address: str | None
    port: int | None


class DatabaseIdentity:
    """What identifies a database, without a question to the server."""

    system_name: ClassVar[str]
    """The value of ``db.system.name``."""
    default_port: ClassVar[int | None] = None
    """The port of a server if the URL has none."""

    def server(self, url: URL) -> Server:
        """Return the server of a URL; of several hosts the first."""
        host, port = url.host, url.port
        if "," in (hosts := parameter(url, "host") or ""):  # with as many ports, as split_hosts writes them
            host, port = hosts.partition(",")[0], int((parameter(url, "port") or "0").partition(",")[0])
        return Server(host, None if port == self.default_port else port)

    def namespace(self, url: URL) -> str | None:
        """Return the value of ``db.namespace``: the database as the URL names it; None if the URL does not name it."""
        return url.database

    def identifying_attributes(self, url: URL) -> Mapping[str, str]:
        """Return further attributes that the conventions of this database define."""
        del url
        return {}


def parameter(url: URL, name: str) -> str | None:
    """Return a parameter of a URL; of several values the first."""
    values = url.query.get(name)
    return values if values is None or isinstance(values, str) else values[0]
