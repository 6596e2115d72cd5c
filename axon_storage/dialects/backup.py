"""The base class for the files of a database, its backups and copies, and what a deletion does not reach."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.engine import URL


class CopyStatements(NamedTuple):
    """Statements for copies of a database, which tests use.

    ``create``: creates the database ``{name}`` as a copy of ``{template}``. ``drop``: drops it, also if it is in use.
    ``end_sessions``: ends the other sessions of the database that it is sent to. ``schema_state``: a query whose result
    is another one after any change of the schema or of the database's settings.
    """

    create: str
    drop: str
    end_sessions: str
    schema_state: str


class BackupSupport:
    """How a database is backed up. A database in a file overrides the methods."""

    backup_tool: ClassVar[str] = ""
    """The command that backs up a server; empty if :meth:`copy_to_file` backs up the database."""
    copies: ClassVar[CopyStatements | None] = None
    """How a server copies databases; None if it cannot."""
    unerased: ClassVar[tuple[str, ...]] = ()
    """Where rows remain after they were deleted."""

    def file_of_url(self, url: URL) -> Path | None:
        """Return the path of the database file that a URL names; None on servers."""
        del url
        return None

    def missing_file(self, url: URL) -> str | None:
        """Return the path of the database file if it does not exist; connecting would create it. None on servers."""
        path = self.file_of_url(url)
        return None if path is None or path.exists() else str(path)

    def unwritable_file(self, url: URL) -> str | None:
        """Return the path of the database file if this account cannot write to it. None on servers."""
        del url
        return None

    def database_file(self, connection: Connection) -> str:
        """Return the path of the database file."""
        raise NotImplementedError

    def copy_to_file(self, source: Path, target: Path, progress: Callable[[int, int], object]) -> Mapping[str, int]:
        """Copy a database file that is in use, check the copy, and return the number of rows of each table.

        ``progress`` is called with the number of pages copied so far, and of all pages. Raise a ValueError if the copy
        is damaged or incomplete, or the driver's error.
        """
        raise NotImplementedError
