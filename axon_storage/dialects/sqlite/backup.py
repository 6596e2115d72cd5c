"""Copies a SQLite file while it is in use, including what is only in its write-ahead log."""

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote

from sqlalchemy import Connection
from sqlalchemy.engine import URL

from axon_storage.dialects.backup import BackupSupport
from axon_storage.dialects.sqlite.inspection import main_file

Progress = Callable[[int, int], object]

_PAGES = 1024
_BUSY_SECONDS = 30.0
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' ESCAPE '@' ORDER BY name"


class SQLiteBackup(BackupSupport):
    """The file of a SQLite database."""

    unerased = ("free pages of the file and its write-ahead log, until VACUUM and a checkpoint",)

    def file_of_url(self, url: URL) -> Path:
        name = url.database or ""
        return Path(unquote(name.removeprefix("file:")) if name.startswith("file:") else name)

    def unwritable_file(self, url: URL) -> str | None:
        path = self.file_of_url(url)
        # the write-ahead log is created in the folder
        is_writable = all(os.access(each, os.W_OK) for each in (path, path.absolute().parent))
        return None if is_writable and url.query.get("mode") != "ro" else str(path)

    def database_file(self, connection: Connection) -> str:
        return main_file(connection)

    def copy_to_file(self, source: Path, target: Path, progress: Progress) -> Mapping[str, int]:
        return _copy_database(source, target, progress)


def _copy_database(source: Path, target: Path, progress: Progress) -> dict[str, int]:
    """Copy one state of a database to a new file, check the copy, and return the number of rows of each table.

    Writers are not blocked. Their later commits are not in the copy. ``progress`` is called with the number of pages
    copied so far, and of all pages. Raise a ValueError if the copy is damaged or incomplete, or a sqlite3.Error.
    """
    with closing(_open(source)) as origin:
        origin.execute("BEGIN")  # one read transaction, so that the copy never starts again because of a writer
        expected = _counts(origin)
        with closing(sqlite3.connect(target)) as copy:
            origin.backup(
                copy, pages=_PAGES, progress=lambda _status, left, total: progress(total - left, total), sleep=0
            )
    with closing(sqlite3.connect(target)) as copy:
        problems = [str(line) for (line,) in copy.execute("PRAGMA integrity_check")]
        if problems != ["ok"]:
            raise ValueError(f"the copy is damaged, and so the database may be: {problems[0][:80]}")
        if _counts(copy) != expected:
            raise ValueError("the copy has not the same rows")
    return expected


def _open(file: Path) -> sqlite3.Connection:
    """Open an existing file; it is not changed."""
    uri = f"file:{quote(str(file))}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _counts(connection: sqlite3.Connection) -> dict[str, int]:
    names = [str(name) for (name,) in connection.execute(_TABLES)]
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in names}
    return {name: connection.execute(f"SELECT count(*) FROM {quoted[name]}").fetchone()[0] for name in names}  # noqa: S608  # quoted
