"""What PostgreSQL tells about a server and its tables."""

from collections.abc import Iterator

from sqlalchemy import Connection, func, select, true

from axon_storage.dialects.inspection import ServerInspection


class PostgreSQLInspection(ServerInspection):
    """The settings of a PostgreSQL server."""

    def durability_problems(self, connection: Connection) -> Iterator[str]:
        names = ("synchronous_commit", "fsync")
        # true: NULL for a setting that a PostgreSQL-compatible server does not have
        query = select(*(func.current_setting(name, true()) for name in names))
        for name, value in zip(names, connection.execute(query).one(), strict=True):
            if value == "off":
                yield f"{name} is off"

    def is_read_only(self, connection: Connection) -> bool:
        # always on in a standby
        return bool(connection.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on")
