"""Copies of a PostgreSQL database."""

from axon_storage.dialects.backup import CopyStatements

# Each change of a schema or of a database's settings writes rows of these catalogs; xmin is the transaction that wrote
# a row. The last one has the settings of all databases.
_CATALOGS = (
    *("pg_class", "pg_attribute", "pg_constraint", "pg_trigger", "pg_proc", "pg_type", "pg_namespace"),
    "pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())",
)
_STATES = [f"(SELECT count(*) || ' ' || max(xmin::text::bigint) FROM {rows})" for rows in _CATALOGS]  # noqa: S608  # constants

COPIES = CopyStatements(
    create="CREATE DATABASE {name} TEMPLATE {template}",
    drop="DROP DATABASE {name} WITH (FORCE)",
    end_sessions="SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    schema_state=f"SELECT {', '.join(_STATES)}",
)
