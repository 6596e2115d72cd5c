"""Citus, an extension of PostgreSQL: the rows of the tables are on several nodes, those of a tenant on one."""

import json
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Executable, Table, text
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.util import await_only

from axon_storage.dialects.distribution import Place
from axon_storage.dialects.error_codes import postgresql as codes
from axon_storage.dialects.errors import ErrorClass
from axon_storage.dialects.postgresql import PostgreSQL
from axon_storage.dialects.postgresql.row_security import SETTING, tenants_literal
from axon_storage.dialects.statements import VERSION_TABLE
from axon_storage.errors import StorageConnectionError

# Two statements, because the second one cannot be parsed without the extension. The table becomes a reference table
# when all others are distributed.
_RECOGNIZED = (
    "SELECT FROM pg_extension WHERE extname = 'citus'",
    f"SELECT FROM pg_dist_partition WHERE logicalrelid = to_regclass('{VERSION_TABLE}') AND repmodel = 't'",
)
_ONE_ROW = "SELECT 1"  # a command tag

# The tables are colocated, so that any of them tells the place.
_PLACE = text(
    "SELECT groupid, shardid FROM pg_dist_placement WHERE shardid ="
    " get_shard_id_for_distribution_column(to_regclass('sessions'), CAST(:tenant AS varchar)) LIMIT 1"
)

# One command for each node. It looks up the next tenant in the index of each part of a table there. Citus refuses a
# recursive query over distributed tables, and would ask every part for each tenant.
_TENANTS = """
WITH parts AS (
  SELECT shardid, groupid, shard_name(logicalrelid, shardid) AS name
  FROM pg_dist_shard JOIN pg_dist_placement USING (shardid)
  WHERE logicalrelid = ANY (SELECT to_regclass(quote_ident(name)) FROM unnest(CAST(:names AS text[])) AS name)
), commands AS (
  SELECT nodename, nodeport, 'SELECT json_agg(found) FROM (' || string_agg(format(
    '(WITH RECURSIVE found AS (SELECT 1 AS step, (SELECT min(tenant_id) FROM %1$s WHERE tenant_id > %2$L) AS tenant'
    ' UNION ALL SELECT step + 1, (SELECT min(tenant_id) FROM %1$s WHERE tenant_id > tenant) FROM found'
    ' WHERE tenant IS NOT NULL AND step < %3$s) SELECT %4$s AS part, tenant FROM found WHERE tenant IS NOT NULL)',
    name, CAST(:above AS text), CAST(:limit AS bigint), shardid), ' UNION ALL ') || ') AS found' AS command
  FROM parts JOIN pg_dist_node USING (groupid) WHERE noderole = 'primary' GROUP BY nodename, nodeport
)
SELECT success, result FROM
  (SELECT array_agg(nodename) AS nodes, array_agg(nodeport) AS ports, array_agg(command) AS texts FROM commands) AS o,
  master_run_on_worker(nodes, ports, texts, true)
"""

_INTERNAL, _NOT_SUPPORTED = "XX000", "0A000"
_STALE_PLAN = "cached plan"

_INSERT = re.compile(r"(INSERT INTO \S+ \([^()]*\) VALUES )(\(.*\))( ON CONFLICT .*)", re.DOTALL)
_PLACEHOLDER = re.compile(r"\$(\d+)")
_LARGEST = 128
"""The largest number of rows of one statement."""
_BITS = 4
"""How many binary digits of a number of rows can be other than 0."""


class Citus(PostgreSQL):
    """PostgreSQL with the extension Citus, and tables that ``axon-storage migrate distribute`` has distributed."""

    has_places = True
    brief_lock_waits_local = ("SET LOCAL citus.propagate_set_commands = 'local'", *PostgreSQL.brief_lock_waits_local)
    # The locks of rows are held in sessions of the nodes, which get only the settings of a transaction.
    brief_lock_waits_elsewhere = PostgreSQL.brief_lock_waits_local

    def recognizes(self, connection: DBAPIConnection) -> bool:
        # without preparing, because a pooler may be in between
        driver: Any = connection.driver_connection
        return all(await_only(driver.execute(statement)) == _ONE_ROW for statement in _RECOGNIZED)

    def wait_briefly(self, connection: Connection) -> bool:
        if not super().wait_briefly(connection):
            return False
        connection.exec_driver_sql("SET citus.propagate_set_commands = 'local'")
        return True

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        # Citus changes parts in several sessions by default, which a transaction that writes a reference table refuses
        sequential = "SET citus.multi_shard_modify_mode = 'sequential'"
        return [*super().migration_settings(lock, statement), sequential]

    def set_tenants_statement(self, tenants: Collection[str]) -> str:
        # Citus sends the settings of SET LOCAL to the other nodes, and not those of set_config()
        local = f"SET LOCAL {SETTING} = {tenants_literal(tenants)}"
        return f"SET LOCAL citus.propagate_set_commands = 'local'; {local}"

    def batch(self, save: Insert, table: Table) -> Executable:
        # INSERT … SELECT FROM unnest() would pass every row through a temporary copy on this node
        del table
        return save

    def batch_parameters(self, rows: Sequence[Any]) -> Any:
        return rows

    def is_one_statement(self, parameters: Any) -> bool:
        return super().is_one_statement(parameters) or len(parameters) <= _LARGEST

    def executemany(self, cursor: Any, statement: str, parameters: Sequence[Any]) -> bool:
        if not _INSERT.fullmatch(statement):
            return False
        for rows in _parts(parameters, may_repeat=statement.endswith("DO NOTHING")):
            cursor.execute(_of_several(statement, len(rows)), tuple(chain.from_iterable(rows)))
        return True

    def classify_error(self, error: BaseException, *, invalidated: bool = False) -> ErrorClass:
        error_class = super().classify_error(error, invalidated=invalidated)
        message = self.message(error)
        if error_class.code == _INTERNAL and message.startswith(codes.OF_OTHER_NODES):
            return error_class._replace(connection=True, transient=True)
        if error_class.code == _NOT_SUPPORTED and _STALE_PLAN not in message:
            return error_class._replace(transient=False)  # a statement that Citus cannot distribute
        return error_class

    def place(self, connection: Connection, tenant: str) -> Place | None:
        found = connection.execute(_PLACE, {"tenant": tenant}).one_or_none()
        return None if found is None else Place(*found)

    def first_tenants(
        self, connection: Connection, tables: Sequence[Table], limit: int, above: str | None
    ) -> Sequence[tuple[int, str]]:
        parameters = {"names": [table.name for table in tables], "limit": limit, "above": above or ""}
        found: list[tuple[int, str]] = []
        for success, result in connection.execute(text(_TENANTS), parameters):
            if not success:
                raise StorageConnectionError("a node of the cluster has not answered", transient=True)
            found += [(each["part"], each["tenant"]) for each in json.loads(result or "[]") or []]
        return found


def _parts(rows: Sequence[Any], *, may_repeat: bool) -> list[Sequence[Any]]:
    """Split rows into parts of few different sizes, because each size is a statement that the server prepares.

    ``may_repeat``: repeat the last row to have one part, because it is stored once.
    """
    parts: list[Sequence[Any]] = []
    start = 0
    while left := len(rows) - start:
        size = min(left, _LARGEST)
        step = 1 << max(0, size.bit_length() - _BITS)
        repeated = -size % step if may_repeat else 0
        part = rows[start : start + (size if may_repeat else size - size % step)]
        parts.append([*part, *[part[-1]] * repeated])
        start += len(part)
    return parts


@lru_cache(maxsize=256)
def _of_several(statement: str, rows: int) -> str:
    """Return the text of an INSERT of several rows; ``statement`` inserts one."""
    [(head, row, tail)] = _INSERT.findall(statement)
    pieces = _PLACEHOLDER.split(row)  # every second one is a number
    texts, columns = pieces[::2], len(pieces) // 2
    lists = [
        "".join([f"{each}${number * columns + place}" for place, each in enumerate(texts[:-1], 1)]) + texts[-1]
        for number in range(rows)
    ]
    return f"{head}{', '.join(lists)}{tail}"
