"""What Oracle tells about a database and its tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from axon_storage.dialects.inspection import ServerInspection, TableSize

_READ_ONLY_ROLES = frozenset({"PHYSICAL STANDBY", "LOGICAL STANDBY"})

_UNKNOWN_NAMES = frozenset({"ORA-00904", "ORA-00942"})

_ROWS = "SELECT LOWER(table_name), num_rows FROM all_tables WHERE owner = SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA')"
# Nothing for tables of another account: DBA_SEGMENTS needs a grant.
_BYTES = """
SELECT LOWER(o.table_name), SUM(s.bytes) FROM user_segments s JOIN (
SELECT table_name, table_name AS segment_name FROM user_tables
UNION ALL SELECT table_name, index_name AS segment_name FROM user_indexes
UNION ALL SELECT table_name, segment_name FROM user_lobs
) o ON o.segment_name = s.segment_name GROUP BY o.table_name
"""


class OracleInspection(ServerInspection):
    """The role and the tables of an Oracle database."""

    def table_sizes(self, connection: Connection, names: Sequence[str]) -> Mapping[str, TableSize]:
        rows, sizes = _numbers(connection, _ROWS), _numbers(connection, _BYTES)
        return {name: TableSize(rows.get(name), sizes.get(name)) for name in names}

    def identity(self, connection: Connection) -> tuple[object, ...]:
        # the current schema is not in the engine's URL
        query = "SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') FROM dual"
        return *super().identity(connection), connection.exec_driver_sql(query).scalar_one()

    def is_read_only(self, connection: Connection) -> bool:
        # Not open_mode of v$database, which needs a grant.
        role = connection.exec_driver_sql("SELECT SYS_CONTEXT('USERENV', 'DATABASE_ROLE') FROM dual").scalar_one()
        return role in _READ_ONLY_ROLES


def _numbers(connection: Connection, query: str) -> dict[str, int]:
    """Return numbers by name; nothing if a view or a column of the query does not exist, as on the test double."""
    try:
        found = connection.exec_driver_sql(query).all()
    except DBAPIError as error:
        reason: Any = error.orig.args[0] if error.orig is not None and error.orig.args else None
        if getattr(reason, "full_code", "") not in _UNKNOWN_NAMES:
            raise
        return {}
    return {name: int(number) for name, number in found if number is not None}
