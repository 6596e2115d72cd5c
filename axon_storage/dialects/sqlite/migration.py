"""What a migration needs of SQLite."""

import re
from collections.abc import Iterator

from sqlalchemy import Connection, text

from axon_storage.dialects.migration import MigrationSupport


class SQLiteMigration(MigrationSupport):
    """Timeouts of SQLite, and the comparison of its tables."""

    upgrades_in_one_transaction = True
    script_begins = ".bail on"  # by default the shell continues after an error

    def extra_differences(self, connection: Connection, table: str) -> Iterator[tuple[str, str]]:
        query = text("SELECT type, name, coalesce(sql, '') FROM sqlite_master WHERE tbl_name = :table")
        for kind, name, sql in connection.execute(query, {"table": table}):
            if kind == "trigger":
                yield f"{table}, trigger {name}", "there"
            for odd in re.findall(r"(?i)\bCOLLATE\s+\S+|\bDESC\b", sql):
                yield f"{table}, {kind} {name}, order", odd

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        del statement  # SQLite has no time limit for statements
        return [f"PRAGMA busy_timeout = {lock * 1000:.0f}"]
