"""What ``axon-storage doctor`` asks PostgreSQL."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from axon_storage.dialects.diagnosis import ConnectionCount, ServerDiagnosis
from axon_storage.model.findings import Finding, ok_unless

# Of the server, the account and the database, the one with the fewest free connections. Not counted by the columns of
# pg_stat_activity that the server hides from an account without pg_read_all_stats.
_CONNECTIONS = """
SELECT open::int, most::int, whose FROM (VALUES
  ('the server''s', (SELECT sum(numbackends) FROM pg_stat_database),
   current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
   - coalesce(current_setting('reserved_connections', true), '0')::int),
  ('this account''s', (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user),
   (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)),
  ('this database''s', (SELECT numbackends FROM pg_stat_database WHERE datname = current_database()),
   (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()))
) AS counts (whose, open, most) WHERE most IS NOT NULL ORDER BY most - open LIMIT 1
"""
_DEAD_ROWS = """
SELECT relname, n_live_tup, n_dead_tup, coalesce(greatest(last_autovacuum, last_vacuum)::text, 'never')
FROM pg_stat_user_tables WHERE relid = ANY(SELECT to_regclass(name) FROM unnest(CAST(:names AS text[])) AS name)
"""
_ATTRIBUTES = """
SELECT name FROM pg_roles, LATERAL (VALUES ('SUPERUSER', rolsuper), ('BYPASSRLS', rolbypassrls),
('CREATEROLE', rolcreaterole), ('CREATEDB', rolcreatedb), ('REPLICATION', rolreplication)) AS attributes (name, is_set)
WHERE rolname = current_user AND is_set
"""
# An owner has every privilege on its tables, and a member of a role can become that role.
_UNNEEDED = """
WITH found AS (SELECT oid, relname, pg_has_role(relowner, 'MEMBER') AS is_owned FROM pg_class
WHERE oid = ANY(SELECT to_regclass(quote_ident(name)) FROM unnest(CAST(:names AS text[])) AS name))
SELECT format('ownership of %s', string_agg(format('%I', relname), ', ' ORDER BY relname)) FROM found WHERE is_owned
HAVING count(*) > 0
UNION ALL SELECT format('%s on %s', verb, string_agg(format('%I', relname), ', ' ORDER BY relname))
FROM found, unnest(ARRAY['TRUNCATE', 'REFERENCES', 'TRIGGER']) AS verb
WHERE NOT is_owned AND has_table_privilege(oid, verb) GROUP BY verb
UNION ALL SELECT format('CREATE on the schema %I', current_schema())
WHERE has_schema_privilege(current_schema(), 'CREATE')
UNION ALL SELECT format('CREATE on the database %I', current_database())
WHERE has_database_privilege(current_database(), 'CREATE')
"""
_TIMEOUTS = {
    "statement_timeout": "it ends long calls; it should exceed operation_timeout",
    "transaction_timeout": "it ends long calls and transactions; it should exceed operation_timeout",
    "idle_in_transaction_session_timeout": "it ends a transaction() that waits for its application",
    "idle_session_timeout": "it closes idle connections of the pool, which are opened again when they are needed",
}
_DEAD_ROWS_OF_CONCERN = 10_000


class PostgreSQLDiagnosis(ServerDiagnosis):
    """The settings, connections and dead rows of PostgreSQL."""

    def settings(self, connection: Connection) -> Iterator[Finding]:
        yield ok_unless("encoding", _setting(connection, "server_encoding"))
        full_pages = _setting(connection, "full_page_writes")
        yield ok_unless(
            "full_page_writes",
            full_pages,
            warn="a crash can damage pages: set full_page_writes = on" if full_pages == "off" else "",
        )
        isolation = _setting(connection, "default_transaction_isolation")
        yield ok_unless("isolation", f"default {isolation}; each transaction sets READ COMMITTED itself")
        for name, effect in _TIMEOUTS.items():
            value = _setting(connection, name)
            if value not in {"", "0"}:
                yield ok_unless(name, value, warn=effect)

    def dead_space(self, connection: Connection, tables: Sequence[str]) -> Iterator[Finding]:
        for name, live, dead, vacuumed in connection.execute(text(_DEAD_ROWS), {"names": list(tables)}):
            if dead > _DEAD_ROWS_OF_CONCERN and dead > live / 2:
                found = f"{name}: {dead:,} dead rows, {live:,} live rows; last vacuum: {vacuumed}"
                yield ok_unless("dead rows", found, warn=f"run VACUUM {name}, and check that autovacuum runs")

    def clock(self, connection: Connection) -> datetime | None:
        now: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        return now

    def connection_count(self, connection: Connection) -> ConnectionCount | None:
        return ConnectionCount(*connection.execute(text(_CONNECTIONS)).one())

    def unneeded_privileges(self, connection: Connection, tables: Sequence[str]) -> Iterator[str]:
        attributes = list(connection.execute(text(_ATTRIBUTES)).scalars())
        yield from attributes
        if "SUPERUSER" not in attributes:  # to whom everything is allowed
            yield from connection.execute(text(_UNNEEDED), {"names": list(tables)}).scalars()

    def has_pooler(self, connection: Connection) -> bool | None:
        driver: Any = connection.connection.driver_connection
        return bool(connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != driver.get_server_pid())


def _setting(connection: Connection, name: str) -> str:
    """Return a setting, or an empty string if this version of the server does not have it."""
    return connection.execute(text("SELECT current_setting(:name, true)"), {"name": name}).scalar_one() or ""
