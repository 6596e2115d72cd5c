"""The versions of PostgreSQL and its driver."""

from axon_storage.dialects.versions import OldestServer, ServerVersions


class PostgreSQLVersions(ServerVersions):
    """PostgreSQL 13 to 18. Version 12 was tried by hand only."""

    tested_servers = ("13", "14", "15", "16", "17", "18")
    tested_drivers = {"asyncpg": "0.32"}
    # tried with 10.23 and 11.22: pg_class.oid was a hidden column, which a subquery does not pass on
    oldest_server = OldestServer((12,), "the statistics and the checks of the schema fail there")
