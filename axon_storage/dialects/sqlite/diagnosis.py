"""What ``axon-storage doctor`` asks SQLite."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from axon_storage.dialects.diagnosis import ServerDiagnosis
from axon_storage.model.findings import Finding, ok_unless

_SYNCHRONOUS = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
_LARGE_LOG = 2**28
_FREE_BYTES_OF_CONCERN = 2**26


class SQLiteDiagnosis(ServerDiagnosis):
    """The settings and the free pages of a SQLite file."""

    def settings(self, connection: Connection) -> Iterator[Finding]:
        yield ok_unless("encoding", _pragma(connection, "encoding"))
        mode = _pragma(connection, "journal_mode")
        yield ok_unless("journal mode", mode, fail="" if mode == "wal" else "the write-ahead log is needed")
        synchronous = _pragma(connection, "synchronous")
        loses = "a commit can be lost in a power failure: set PRAGMA synchronous = FULL" if synchronous < 2 else ""
        yield ok_unless("synchronous", _SYNCHRONOUS.get(synchronous, str(synchronous)), warn=loses)
        yield ok_unless("busy_timeout", f"{_pragma(connection, 'busy_timeout') / 1000:g} s")
        log = Path(f"{connection.exec_driver_sql('PRAGMA database_list').one().file}-wal")
        size = log.stat().st_size if log.exists() else 0
        grows = "a reader that never ends prevents checkpoints: end it" if size > _LARGE_LOG else ""
        yield ok_unless("write-ahead log", f"{size / 2**20:.1f} MiB", warn=grows)

    def dead_space(self, connection: Connection, tables: Sequence[str]) -> Iterator[Finding]:
        del tables
        pages, free, size = (_pragma(connection, name) for name in ("page_count", "freelist_count", "page_size"))
        shrink = (
            "VACUUM returns them to the file system"
            if free * size > _FREE_BYTES_OF_CONCERN and free * 2 > pages
            else ""
        )
        yield ok_unless("free pages", f"{free:,} of {pages:,}", warn=shrink)


def _pragma(connection: Connection, name: str) -> Any:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
