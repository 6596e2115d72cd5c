"""The base class for what a dialect knows about the versions of its server and its drivers."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from sqlalchemy import Dialect


class OldestServer(NamedTuple):
    """The first version of a server that is not known to fail. ``reason``: what earlier ones lack."""

    version: tuple[int, ...]
    reason: str


class ServerVersions:
    """The versions with which the package is tested, and those with which it is known to fail."""

    tested_servers: ClassVar[Sequence[str]] = ()
    """The versions of the server with which the package is tested, as the beginning of a version."""
    server_is_tested: ClassVar[bool] = True
    """False if the package is tested with a double of the server only."""
    tested_drivers: ClassVar[Mapping[str, str]] = {}
    """The distribution of each driver, with the newest version with which the package is tested."""
    oldest_server: ClassVar[OldestServer | None] = None
    """Earlier versions are refused; None if none is known to fail."""

    @staticmethod
    def server_version(inner: Dialect) -> tuple[int, ...]:
        """Return the version of the server, or of the library that opens a file; empty before the first connection.

        ``inner``: SQLAlchemy's dialect of an engine.
        """
        return tuple(part for part in inner.server_version_info or () if isinstance(part, int))

    def is_tested(self, version: tuple[int, ...]) -> bool:
        """Return whether a version of the server is tested."""
        return any(f"{dotted(version)}.".startswith(f"{each}.") for each in self.tested_servers)


def dotted(version: tuple[int, ...]) -> str:
    """Return a version as it is written."""
    return ".".join(map(str, version))
