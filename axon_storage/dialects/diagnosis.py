"""The base class for what ``axon-storage doctor`` asks a database."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import ClassVar, NamedTuple

from sqlalchemy import Connection

from axon_storage.model.findings import Finding


class ConnectionCount(NamedTuple):
    """The connections of a server or, if fewer of them are free, those of an account or a database."""

    open: int
    maximum: int
    whose: str = "the server's"

    @property
    def free(self) -> int:
        """The number of connections that can still be opened."""
        return self.maximum - self.open


class ServerDiagnosis:
    """Questions about a server, a file or a session. A subclass overrides those that its database can answer."""

    durability_is_visible: ClassVar[bool] = True
    """Whether an account without special rights can read the settings that may lose a commit."""

    def settings(self, connection: Connection) -> Iterator[Finding]:
        """Yield a finding for each setting of the server, the database or the session that matters."""
        del connection
        yield from ()

    def dead_space(self, connection: Connection, tables: Sequence[str]) -> Iterator[Finding]:
        """Yield findings about space that deleted and replaced rows take."""
        del connection, tables
        yield from ()

    def clock(self, connection: Connection) -> datetime | None:
        """Return the server's time, or None if the database uses the clock of this machine."""
        del connection
        return None

    def connection_count(self, connection: Connection) -> ConnectionCount | None:
        """Return the number of connections of the server, or None if it has no limit."""
        del connection
        return None

    def unneeded_privileges(self, connection: Connection, tables: Sequence[str]) -> Iterator[str]:
        """Yield what the account may do besides reading and changing rows of tables, such as changing the schema."""
        del connection, tables
        yield from ()

    def has_pooler(self, connection: Connection) -> bool | None:
        """Return whether a pooler is between this process and the server; None if that cannot be found out."""
        del connection
        return None
