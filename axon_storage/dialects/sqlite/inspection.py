"""What SQLite tells about a database file."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row

from axon_storage.dialects.inspection import ServerInspection, TableSize

_MEASURED_BYTES = 256 * 2**20
"""The largest file whose tables are measured, because that reads the whole file."""

_HAS_DBSTAT = "SELECT count(*) FROM pragma_module_list WHERE name = 'dbstat'"
_SIZES = """
SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_schema USING (name) WHERE aggregate = TRUE GROUP BY tbl_name
"""


class SQLiteInspection(ServerInspection):
    """The state of a SQLite file."""

    counts_all_rows = True

    def table_sizes(self, connection: Connection, names: Sequence[str]) -> Mapping[str, TableSize]:
        size = _pragma(connection, "page_count").page_count * _pragma(connection, "page_size").page_size
        if size > _MEASURED_BYTES or not connection.exec_driver_sql(_HAS_DBSTAT).scalar_one():
            return {}
        found = connection.exec_driver_sql(_SIZES)
        return {name: TableSize(None, size) for name, size in found if name in names}

    def identity(self, connection: Connection) -> tuple[object, ...]:
        # not the path, because links and the parameters of a URL give one file several names
        found = Path(main_file(connection)).stat()
        return found.st_dev, found.st_ino

    def is_read_only(self, connection: Connection) -> bool:
        query = connection.engine.url.query
        if ("uri" in query and query.get("mode") == "ro") or _pragma(connection, "query_only").query_only:
            return True
        return not os.access(main_file(connection), os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def main_file(connection: Connection) -> str:
    """Return the path of the database file."""
    # PRAGMA database_list also names the temporary and the attached databases of the connection
    return str(connection.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar_one())


def _pragma(connection: Connection, name: str) -> Row[Any]:
    return connection.exec_driver_sql(f"PRAGMA {name}").one()
