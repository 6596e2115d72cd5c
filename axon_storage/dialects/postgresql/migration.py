"""What a migration needs of PostgreSQL."""

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Table, func, select, text

from axon_storage.dialects.base import UnsupportedServer
from axon_storage.dialects.migration import MigrationSupport
from axon_storage.dialects.statements import FILLFACTOR

_DEPLOYMENT_LOCK = int.from_bytes(b"axonstor")  # an arbitrary number; advisory locks belong to one database
_LOCK_TIMEOUT = "axon_storage.lock_timeout"  # stores lock_timeout while an index is built online

_INVALID_INDEXES_AND_TRIGGERS = """
SELECT 'index ' || indexrelid::regclass, 'not valid, because its build was interrupted' FROM pg_index
WHERE indrelid = to_regclass(:table) AND NOT indisvalid
UNION ALL SELECT 'trigger ' || tgname, 'there' FROM pg_trigger
WHERE tgrelid = to_regclass(:table) AND NOT tgisinternal
UNION ALL SELECT 'table', 'not logged, so a crash empties it' FROM pg_class
WHERE oid = to_regclass(:table) AND relpersistence <> 'p'
"""

_FILLFACTOR = """
SELECT option_value FROM pg_class, pg_options_to_table(reloptions)
WHERE oid = to_regclass(:table) AND option_name = 'fillfactor'
"""


class PostgreSQLMigration(MigrationSupport):
    """The advisory lock, timeouts, online indexes and the comparison of PostgreSQL's tables."""

    online_index_outside = True
    has_axon_servers = True
    # by default psql continues after an error
    script_begins = "\\set ON_ERROR_STOP on"

    def expected_options(self, table: Table) -> Iterator[tuple[str, str]]:
        if FILLFACTOR in table.info:
            yield f"{table.name}, fillfactor", str(table.info[FILLFACTOR])

    def extra_differences(self, connection: Connection, table: str) -> Iterator[tuple[str, str]]:
        for what, state in connection.execute(text(_INVALID_INDEXES_AND_TRIGGERS), {"table": table}):
            yield f"{table}, {what}, state", state
        for percent in connection.execute(text(_FILLFACTOR), {"table": table}).scalars():
            yield f"{table}, fillfactor", percent

    def acquire_schema_lock(self, connection: Connection) -> bool:
        backend = connection.execute(select(func.pg_backend_pid())).scalar_one()
        driver: Any = connection.connection.driver_connection
        if driver.get_server_pid() != backend:
            raise UnsupportedServer(
                "a pooler is in between, which would keep the schema lock: migrate on a direct connection"
            )
        taken = connection.execute(select(func.pg_try_advisory_lock(_DEPLOYMENT_LOCK))).scalar_one()
        connection.commit()  # the session keeps the lock
        return bool(taken)

    def schema_lock_holder(self, connection: Connection) -> str:
        query = text(
            "SELECT a.usename, a.application_name, a.client_addr, a.pid, a.backend_start FROM pg_locks l "
            "JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND l.classid::bigint << 32 | l.objid::bigint = :lock"
        )
        found = connection.execute(query, {"lock": _DEPLOYMENT_LOCK}).first()
        if found is None:
            return "it has just ended"
        user, application, address, pid, start = found
        since = f", since {start:%Y-%m-%d %H:%M:%S %Z}" if start else ""  # hidden from some roles
        return f"{user} {application} from {address or 'the host'}, backend {pid}{since}"

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        milliseconds = f"{lock * 1000:.0f}"
        return [
            f"SET lock_timeout = {milliseconds}",
            f"SET {_LOCK_TIMEOUT} = {milliseconds}",
            f"SET statement_timeout = {statement * 1000:.0f}",
        ]

    def online_index(self, create: str, name: str, *, there: bool) -> list[str]:
        del there  # an index whose build was interrupted exists too, and is not valid
        return [
            # building it waits for all older transactions, and blocks none
            "SET lock_timeout = 0",
            f"DROP INDEX CONCURRENTLY IF EXISTS {name}",
            re.sub(r"^CREATE (UNIQUE )?INDEX", r"CREATE \1INDEX CONCURRENTLY", create),
            f"SELECT set_config('lock_timeout', current_setting('{_LOCK_TIMEOUT}'), false)",
        ]

    def set_fillfactor(self, table: str, percent: int | None) -> list[str]:
        option = "RESET (fillfactor)" if percent is None else f"SET (fillfactor = {percent})"
        return [f"ALTER TABLE {table} {option}"]
