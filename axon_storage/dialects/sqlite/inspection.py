"""What SQLite tells about a database file."""

import os
from typing import Any

from sqlalchemy import Connection, Row

from axon_storage.dialects.inspection import ServerInspection


class SQLiteInspection(ServerInspection):
    """The state of a SQLite file."""

    def is_read_only(self, connection: Connection) -> bool:
        if connection.engine.url.query.get("mode") == "ro" or _pragma(connection, "query_only").query_only:
            return True
        file = _pragma(connection, "database_list").file
        return not os.access(file, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _pragma(connection: Connection, name: str) -> Row[Any]:
    return connection.exec_driver_sql(f"PRAGMA {name}").one()
