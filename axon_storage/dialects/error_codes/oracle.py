"""Oracle Database and its Python driver: the texts of their error messages, shortened."""

PASSING = {
    # the driver reports ORA-00028, 01012, 01089, 03113, 03114, 03135 and 12537 as a closed connection
    "DPY-1001": "not connected to database",
    "DPY-4011": "the database or network closed the connection",
    "DPY-4024": "call timeout exceeded",
    "DPY-4033": "the database closed the connection",
    "DPY-6000": "listener refused connection",
    "DPY-6005": "cannot connect to database",
    "ORA-00018": "maximum number of sessions exceeded",
    "ORA-00020": "maximum number of processes exceeded",
    "ORA-01033": "initialization or shutdown in progress",
    "ORA-01034": "the database instance is not available",
    "ORA-01090": "shutdown in progress",
    "ORA-01109": "database not open",
    "ORA-02391": "exceeded simultaneous SESSIONS_PER_USER limit",
    "ORA-02399": "exceeded maximum connect time",
    "ORA-16456": "switchover in progress",
}

PERMANENT = {
    "DPY-3008": "unsupported in-band notification",
    "DPY-3010": "server version not supported in thin mode",
    "DPY-3015": "password verifier not supported in thin mode",
    "DPY-4000": "connect identifier not found",
    "DPY-4001": "no credentials specified",
    "DPY-4017": "invalid connect descriptor",
    "DPY-4018": "cannot parse connect string",
    "DPY-6001": "service not registered with the listener",
    "DPY-6002": "server certificate does not match the expected name",
    "DPY-6003": "SID not registered with the listener",
    "DPY-6006": "server certificate name does not match the host name",
    "DPY-6008": "database server verification failed",
    "ORA-01017": "invalid credential or not authorized; logon denied",
    "ORA-01035": "restricted mode; logon denied",
    "ORA-01045": "user lacks CREATE SESSION privilege",
    "ORA-28000": "account is locked",
    "ORA-28001": "password has expired",
}

LOCK_TIMEOUTS = {
    "ORA-00054": "resource busy and acquire with NOWAIT specified",
}

UNIQUE_VIOLATIONS = {
    "ORA-00001": "unique constraint violated",
}

# a unique violation: other sessions inserted the row of a MERGE first, several times
RETRYABLE = {
    **LOCK_TIMEOUTS,
    **UNIQUE_VIOLATIONS,
    "ORA-00060": "deadlock detected while waiting for resource",
    "ORA-01555": "snapshot too old",
    "ORA-02049": "timeout: distributed transaction waiting for lock",
    "ORA-04020": "deadlock detected while trying to lock object",
    "ORA-04021": "timeout occurred while waiting to lock object",
    "ORA-08177": "can't serialize access for this transaction",
    "ORA-16000": "database open for read-only access",  # after a fail-over
    "ORA-25402": "transaction must roll back",
    "ORA-25408": "can not safely replay call",
    "ORA-30006": "resource busy; acquire with WAIT timeout expired",
}

FAIL_OVERS = {code: {**PASSING, **RETRYABLE}[code] for code in ("ORA-01090", "ORA-16000", "ORA-16456")}

WITHOUT_VALUES = {
    "ORA-00439": "feature not enabled",
    "ORA-00904": "invalid identifier",
    "ORA-00942": "table or view does not exist",
    "ORA-00955": "name is already used by an existing object",
    "ORA-01031": "insufficient privileges",
    "ORA-01400": "cannot insert NULL",
    "ORA-01407": "cannot update to NULL",
    "ORA-01418": "specified index does not exist",
    "ORA-01430": "column being added already exists in table",
    "ORA-01536": "space quota exceeded for tablespace",
    "ORA-01653": "unable to extend table",
    "ORA-01654": "unable to extend index",
    "ORA-01950": "no privileges on tablespace",
    "ORA-02290": "check constraint violated",
    "ORA-02291": "integrity constraint violated: parent key not found",
    "ORA-02292": "integrity constraint violated: child record found",
    "ORA-12899": "value too large for column",
}

DENIED = {"ORA-01031": "insufficient privileges"}
"""The account lacks a right."""

LOGINS = {"ORA-01017": PERMANENT["ORA-01017"]}
"""The name or the password is refused."""
