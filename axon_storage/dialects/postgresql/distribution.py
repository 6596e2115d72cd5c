"""What ``axon-storage migrate distribute`` asks and tells a PostgreSQL server that may have the extension Citus."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, text

from axon_storage.dialects.base import UnsupportedServer
from axon_storage.dialects.distribution import Distribution, DistributionSupport
from axon_storage.dialects.statements import VERSION_TABLE

_HAS_EXTENSION = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
_IS_COORDINATOR = "SELECT groupid = 0 FROM pg_dist_local_group"
_DISTRIBUTED = """
SELECT logicalrelid::text AS name, count(DISTINCT shardid), array_agg(DISTINCT groupid) FILTER (WHERE partmethod = 'h')
FROM pg_dist_partition JOIN pg_dist_shard USING (logicalrelid) JOIN pg_dist_placement USING (shardid)
WHERE logicalrelid = ANY (SELECT to_regclass(quote_ident(name)) FROM unnest(CAST(:names AS text[])) AS name)
AND (partmethod = 'h' OR repmodel = 't') GROUP BY logicalrelid ORDER BY 1
"""
# Without logical decoding, rows that are written meanwhile cannot be followed. Releases of 2026 have a list of the
# libraries that may be used for it.
_IS_ONLINE = """
SELECT current_setting('wal_level') = 'logical'
AND coalesce(current_setting('output_plugin_libraries', true) ~ '\\mcitus\\M', true)
AND EXISTS (SELECT FROM pg_proc WHERE proname = 'create_distributed_table_concurrently')
"""
_COLUMN = "tenant_id"
_BLOCKING, _ONLINE = "create_distributed_table", "create_distributed_table_concurrently"
_ON_A_WORKER = (
    "this server is a worker of a Citus cluster: change the schema on the coordinator, which changes all nodes"
)


class PostgreSQLDistribution(DistributionSupport):
    """The distributed tables of Citus, by ``tenant_id``; the table with the revision is a reference table."""

    def distribution(self, connection: Connection, tables: Sequence[str]) -> Distribution | None:
        if not _has_extension(connection):
            return None
        found = connection.execute(text(_DISTRIBUTED), {"names": list(tables)}).all()
        nodes = {node for *_, of_table in found for node in of_table or ()}
        return Distribution(
            [name for name, *_ in found], max([shards for _, shards, _ in found], default=0), len(nodes)
        )

    def check_migrates(self, connection: Connection) -> None:
        if _has_extension(connection) and not connection.exec_driver_sql(_IS_COORDINATOR).scalar_one():
            raise UnsupportedServer(_ON_A_WORKER)

    def distribute(self, connection: Connection, tables: Sequence[str], shards: int | None) -> Iterator[str]:
        found = self.distribution(connection, [*tables, VERSION_TABLE])
        if found is None:
            raise UnsupportedServer("the server has no extension that distributes tables: CREATE EXTENSION citus")
        is_online = connection.exec_driver_sql(_IS_ONLINE).scalar_one()
        colocated = next((name for name in tables if name in found.tables), None)
        for name in tables:
            if name not in found.tables:
                # takes seconds for each table, and an empty one is distributed in no time
                function = _ONLINE if is_online and _has_rows(connection, name) else _BLOCKING
                _create(connection, function, name, colocated, None if colocated else shards)
                yield name
            colocated = colocated or name
        if VERSION_TABLE not in found.tables:
            connection.execute(text("SELECT create_reference_table(:name)"), {"name": VERSION_TABLE})
            _drop_local_rows(connection, VERSION_TABLE)
            yield VERSION_TABLE

    def distribute_new_table(self, connection: Connection, table: str) -> None:
        found = self.distribution(connection, [_ANY_TABLE])
        if found is not None and found.tables:
            _create(connection, _BLOCKING, table, _ANY_TABLE, None)


_ANY_TABLE = "sessions"
"""A table that every revision has."""


def _has_extension(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql(_HAS_EXTENSION).scalar_one())


def _has_rows(connection: Connection, table: str) -> bool:
    name = connection.dialect.identifier_preparer.quote(table)
    return bool(connection.exec_driver_sql(f"SELECT EXISTS (SELECT FROM {name})").scalar_one())  # noqa: S608  # ours


def _create(connection: Connection, function: str, table: str, colocated: str | None, shards: int | None) -> None:
    arguments = "CAST(:name AS regclass), :column, colocate_with => :colocated"
    parameters: dict[str, Any] = {"name": table, "column": _COLUMN, "colocated": colocated or "none"}
    if shards is not None:
        arguments, parameters = arguments + ", shard_count => :shards", {**parameters, "shards": shards}
    connection.execute(text(f"SELECT {function}({arguments})"), parameters)
    _drop_local_rows(connection, table)


def _drop_local_rows(connection: Connection, table: str) -> None:
    """Delete the copies of the rows that the coordinator keeps, which no statement shows any longer."""
    connection.execute(
        text("SELECT truncate_local_data_after_distributing_table(CAST(:name AS regclass))"), {"name": table}
    )
