"""What PostgreSQL tells about a server and its tables."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, func, select, text, true

from axon_storage.dialects.inspection import ServerInspection, TableSize

_SIZES = """
SELECT name, CASE WHEN reltuples >= 0 THEN reltuples::bigint END, pg_total_relation_size(oid)
FROM unnest(CAST(:names AS text[])) AS name JOIN pg_class ON oid = to_regclass(name)
"""


class PostgreSQLInspection(ServerInspection):
    """The settings of a PostgreSQL server."""

    def durability_problems(self, connection: Connection) -> Iterator[str]:
        names = ("synchronous_commit", "fsync")
        # true: NULL for a setting that a PostgreSQL-compatible server does not have
        query = select(*(func.current_setting(name, true()) for name in names))
        for name, value in zip(names, connection.execute(query).one(), strict=True):
            if value == "off":
                yield f"{name} is off"

    def table_sizes(self, connection: Connection, names: Sequence[str]) -> Mapping[str, TableSize]:
        found = connection.execute(text(_SIZES), {"names": list(names)})
        return {name: TableSize(rows, size) for name, rows, size in found}

    def identity(self, connection: Connection) -> tuple[object, ...]:
        # the search path is not in the engine's URL
        return *super().identity(connection), connection.exec_driver_sql("SELECT current_schema()").scalar_one()

    def is_read_only(self, connection: Connection) -> bool:
        # always on in a standby
        return bool(connection.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on")
