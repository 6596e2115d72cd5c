"""PostgreSQL: the condition names of its manual, appendix A."""

PASSING = {
    "08000": "connection_exception",
    "08001": "sqlclient_unable_to_establish_sqlconnection",
    "08003": "connection_does_not_exist",
    "08004": "sqlserver_rejected_establishment_of_sqlconnection",
    "08006": "connection_failure",
    "08007": "transaction_resolution_unknown",
    "08P01": "protocol_violation",  # a pooler's own errors; most are transient
    "25P03": "idle_in_transaction_session_timeout",
    "25006": "read_only_sql_transaction",  # after a fail-over
    "53300": "too_many_connections",
    "57P01": "admin_shutdown",
    "57P02": "crash_shutdown",
    "57P03": "cannot_connect_now",
    "57P05": "idle_session_timeout",
}

PERMANENT = {
    "28000": "invalid_authorization_specification",
    "28P01": "invalid_password",
    "3D000": "invalid_catalog_name",
}

FAIL_OVERS = {code: PASSING[code] for code in ("25006", "57P01", "57P02")}

LOCK_TIMEOUTS = {
    "55P03": "lock_not_available",
}

RETRYABLE = {
    **LOCK_TIMEOUTS,
    "0A000": "feature_not_supported",  # a prepared plan that a migration has made invalid
    "40001": "serialization_failure",
    "40P01": "deadlock_detected",
}

UNKNOWN_STATEMENT = {
    "26000": "invalid_sql_statement_name",
    "42P05": "duplicate_prepared_statement",
}
"""A prepared statement is missing, or is another one, because a pooler has changed the session."""

CLASSES_WITHOUT_VALUES = {
    "08": "connection exception",
    "0A": "feature not supported",
    "23": "integrity constraint violation",
    "25": "invalid transaction state",
    "26": "invalid SQL statement name",
    "28": "invalid authorization specification",
    "3D": "invalid catalog name",
    "3F": "invalid schema name",
    "40": "transaction rollback",
    "42": "syntax error or access rule violation",
    "53": "insufficient resources",
    "55": "object not in prerequisite state",
    "57": "operator intervention",
    "58": "system error",
}
"""The first two characters of codes of errors that contain values only in their detail, not in their message."""

OF_OTHER_NODES = (
    "could not commit transaction for shard",  # a node was lost at COMMIT
    "failure on connection marked as essential",  # a node was lost before COMMIT
    "could not find valid entry for shard",  # a shard was moved or split
    # libpq's errors of a connection between nodes, which Citus passes on, such as at PREPARE TRANSACTION
    "SSL SYSCALL error",
    "SSL error",
    "SSL connection has been closed unexpectedly",
    "server closed the connection unexpectedly",
    "could not receive data from server",
    "could not send data to server",
    "no connection to the server",
    "connection not open",
)
"""The beginnings of messages of Citus with the code XX000, internal_error, after which a transaction may succeed."""

DENIED = {"42501": "insufficient_privilege"}
"""The account lacks a right."""

LOGINS = {code: PERMANENT[code] for code in ("28000", "28P01")}
"""The name or the password is refused."""
