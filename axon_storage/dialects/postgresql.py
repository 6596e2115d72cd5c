"""PostgreSQL through asyncpg."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Executable,
    String,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    delete,
    func,
    select,
    text,
    true,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSON, Insert
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.types import TypeEngine

from axon_storage.dialects.base import Tls, UnsupportedServer, take_application_name
from axon_storage.dialects.on_conflict import OnConflict

_DEPLOYMENT_LOCK = int.from_bytes(b"axonstor")  # any number, if only ours; advisory locks belong to one database

_LOCK_TIMEOUT = "axon_storage.lock_timeout"  # remembers what an index that is built online sets aside

_CACHES = frozenset({"statement_cache_size", "prepared_statement_cache_size"})

_SEARCH_PATH = "search_path"


_AMISS = """
SELECT 'index ' || indexrelid::regclass, 'not valid, since it was cut off while it was built' FROM pg_index
WHERE indrelid = to_regclass(:table) AND NOT indisvalid
UNION ALL SELECT 'trigger ' || tgname, 'there' FROM pg_trigger
WHERE tgrelid = to_regclass(:table) AND NOT tgisinternal
UNION ALL SELECT 'row-level security', 'on' FROM pg_class WHERE oid = to_regclass(:table) AND relrowsecurity
"""


_FILLFACTOR = """
SELECT option_value FROM pg_class, pg_options_to_table(reloptions)
WHERE oid = to_regclass(:table) AND option_name = 'fillfactor'
"""


class _Json(JSON):
    """JSON that is read as its text: what the driver makes of JSON itself is for an engine's maker to choose."""

    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return type_coerce(cast(column, Text), column.type)  # for the types above to decode

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        del dialect, coltype


class PostgreSQL(OnConflict):
    """READ COMMITTED, strings compared by code point, JSON kept as text."""

    title = "PostgreSQL"
    schemes = {
        "postgres": "postgresql+asyncpg",
        "postgresql": "postgresql+asyncpg",
        "postgresql+asyncpg": "postgresql+asyncpg",
    }
    extras = {"asyncpg": "postgresql"}
    driver_modules = frozenset({"asyncpg"})
    insert = Insert
    native_uuid = True
    online_index_outside = True
    has_axon_servers = True
    # psql goes on after an error, to the statement that says that all is done
    script_begins = "\\set ON_ERROR_STOP on"
    has_timestamps_with_time_zone = True
    # asked for with BEGIN, so that it costs no round trip and passes through a pooler
    transaction_options = {"isolation_level": "READ COMMITTED"}
    autocommit_options = {"isolation_level": "AUTOCOMMIT"}

    # Classes of SQLSTATE (two characters) or whole ones, from PostgreSQL's appendix A:
    # connection exceptions, authorization, missing database, shutting down or starting up, too many connections.
    connection_codes = frozenset({"08", "28", "3D000", "57P01", "57P02", "57P03", "57P05", "53300", "25006"})
    # serialization failure, deadlock, lock not available, a prepared plan that a migration made invalid (0A000), and
    # those above that pass by themselves
    transient_codes = frozenset(
        {"08", "40001", "40P01", "55P03", "57P01", "57P02", "57P03", "57P05", "53300", "25006", "0A000"}
    )

    lock_timeout_codes = frozenset({"55P03"})
    # far below deadlock_timeout (1 s), so that of a transaction and a group commit that wait for each other it is the
    # group commit that gives way
    brief_lock_waits = ("SET lock_timeout = '1ms'",)
    brief_lock_waits_local = ("SET LOCAL lock_timeout = '1ms'",)

    def identifier(self, length: int) -> TypeEngine[str]:
        return String(length, collation="C")

    def long_text(self) -> TypeEngine[str]:
        return Text(collation="C")

    def json(self) -> TypeEngine[Any]:
        return _Json()

    def expected_options(self, table: Table) -> Iterator[tuple[str, str]]:
        for name, value in (table.dialect_options["postgresql"]["with"] or {}).items():
            yield f"{table.name}, {name}", str(value)

    def extra_differences(self, connection: Connection, table: str) -> Iterator[tuple[str, str]]:
        for what, state in connection.execute(text(_AMISS), {"table": table}):
            yield f"{table}, {what}, state", state
        for percent in connection.execute(text(_FILLFACTOR), {"table": table}).scalars():
            yield f"{table}, fillfactor", percent

    def durability_problems(self, connection: Connection) -> Iterator[str]:
        names = ("synchronous_commit", "fsync")
        # with true, NULL for a setting that a relative of PostgreSQL does not have
        query = select(*(func.current_setting(name, true()) for name in names))
        for name, value in zip(names, connection.execute(query).one(), strict=True):
            if value == "off":
                yield f"{name} is off"

    def batch(self, save: Insert, table: Table) -> Executable:
        # One message with an array a column: less work on both sides than asyncpg's executemany, all or nothing by
        # itself, and sent whole. In a longer executemany asyncpg waits for room, and a cancellation that meets it
        # there is never told the server, which waits on, as the client does (0.32.0, bind_execute_many).
        arrays = [bindparam(column.name, type_=ARRAY(column.type)) for column in table.c]
        rows = func.unnest(*arrays).table_valued(*table.c.keys()).render_derived()
        return save.from_select(table.c.keys(), select(*rows.c))

    def batch_parameters(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        return {name: [row[name] for row in rows] for name in rows[0]}

    def in_list(self, column: ColumnElement[Any], parameter: str) -> ColumnElement[bool]:
        # the same statement however long the list, which is so planned once
        return column == any_(bindparam(parameter, type_=ARRAY(column.type)))

    def delete(self, table: Table, *conditions: ColumnElement[bool]) -> Delete:
        # A plain DELETE locks rows in the order it finds them, and so deadlocks with writers who keep to key order.
        # Locked beforehand by another statement, it would still meet rows that came between the two.
        keys = list(table.primary_key)
        locked = select(*keys).where(*conditions).order_by(*keys).with_for_update()
        # the conditions once more, so that the planner has the index for the outer statement too
        return delete(table).where(*conditions, tuple_(*keys).in_(locked))

    def connect_arguments(self, url: URL, timeout: float, tls: Tls | None) -> tuple[URL, dict[str, Any]]:
        url, name = take_application_name(url, "application_name")
        settings = {"application_name": name}
        if _SEARCH_PATH in url.query:
            settings[_SEARCH_PATH] = str(url.query[_SEARCH_PATH])
        arguments: dict[str, Any] = {"timeout": timeout, "server_settings": settings}
        if tls is not None:
            arguments["ssl"] = "prefer" if tls.context and not tls.required else tls.context or False
        for name in _CACHES.intersection(url.query):
            # poolers need both of asyncpg's and SQLAlchemy's caches off, and neither takes the URL's text for a number
            arguments[name] = int(str(url.query[name]))
        return url.difference_update_query({*_CACHES, _SEARCH_PATH}), arguments

    def allows_autocommit(self, arguments: Mapping[str, Any]) -> bool:
        # A pooler may give what is prepared and what is run two sessions, were there no transaction around both.
        return all(arguments.get(name) != 0 for name in _CACHES)

    def on_connect(self, connection: DBAPIConnection) -> None:
        encoding = connection.driver_connection.get_settings().server_encoding
        if encoding != "UTF8":
            raise UnsupportedServer(
                f"the database's encoding is {encoding}, which cannot hold every character; it must be UTF8"
            )

    def is_lost(self, connection: DBAPIConnection) -> bool:
        return bool(connection.driver_connection.is_closed())

    def acquire_schema_lock(self, connection: Connection) -> bool:
        backend = connection.execute(select(func.pg_backend_pid())).scalar_one()
        driver: Any = connection.connection.driver_connection
        if driver.get_server_pid() != backend:
            raise UnsupportedServer(
                "a pooler is in between, which would keep a deployer's lock: migrate on a direct connection"
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
        since = f", since {start:%Y-%m-%d %H:%M:%S %Z}" if start else ""  # another role may not see it
        return f"{user} {application} from {address or 'the host'}, backend {pid}{since}"

    def migration_settings(self, lock: float, statement: float) -> list[str]:
        milliseconds = f"{lock * 1000:.0f}"
        return [
            f"SET lock_timeout = {milliseconds}",
            f"SET {_LOCK_TIMEOUT} = {milliseconds}",
            f"SET statement_timeout = {statement * 1000:.0f}",
        ]

    def online_index(self, create: str, name: str, *, there: bool) -> list[str]:
        del there  # one that was cut off while it was built is there, and of no use
        return [
            # it waits for every transaction that is older, and nobody waits for it
            "SET lock_timeout = 0",
            f"DROP INDEX CONCURRENTLY IF EXISTS {name}",
            re.sub(r"^CREATE (UNIQUE )?INDEX", r"CREATE \1INDEX CONCURRENTLY", create),
            f"SELECT set_config('lock_timeout', current_setting('{_LOCK_TIMEOUT}'), false)",
        ]

    def set_fillfactor(self, table: str, percent: int | None) -> list[str]:
        option = "RESET (fillfactor)" if percent is None else f"SET (fillfactor = {percent})"
        return [f"ALTER TABLE {table} {option}"]

    def code(self, error: BaseException) -> str:
        return getattr(error, "sqlstate", None) or ""

    def says_no_tls(self, error: BaseException) -> bool:
        return "rejected SSL upgrade" in str(error)  # asyncpg's ConnectionError for it has no code

    def _listed(self, code: str, codes: frozenset[str]) -> bool:
        return code in codes or code[:2] in codes
