"""Each error code that a server can be made to give: the class of its error, and whether it is transient."""

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from sqlalchemy.engine import make_url

from axon_storage import (
    QueryError,
    StorageConnectionError,
    StorageError,
    TraceRow,
    open_storage,
    schema,
)
from axon_storage.dialects import of_scheme
from axon_storage.testing.samples import sample
from tests.faults.private import server
from tests.faults.provoke import (
    SECRET,
    Provoke,
    ProvokedServer,
    deadlock,
    idle_timeout,
    killed_server,
    killed_session,
    lock_timeout,
    plan_changed,
    refused_login,
    refused_write,
    serialization_failure,
    set_global,
    shutting_down,
    too_many_connections,
)
from tests.servers.process import Process

pytestmark = pytest.mark.timeout(120)


class Case(NamedTuple):
    """An error: the servers that report it, the vendor's name of its code, its class and its cause.

    ``connection``: it is a connection error; otherwise it is a query error.
    """

    kinds: str
    name: str
    error: str
    connection: bool
    transient: bool
    provoke: Provoke


def set_on_database(setting: str, value: str) -> tuple[str, str]:
    return f"ALTER DATABASE app SET {setting} = {value}", f"ALTER DATABASE app RESET {setting}"


def alter(of: str, value: str, usual: str) -> tuple[str, str]:
    return f"ALTER {of} {value}", f"ALTER {of} {usual}"


CASES = [
    Case("postgresql", "deadlock", "deadlock_detected", False, True, deadlock),
    Case(
        "postgresql",
        "serialization failure",
        "serialization_failure",
        False,
        True,
        serialization_failure("REPEATABLE READ"),
    ),
    Case(
        "postgresql",
        "lock time-out",
        "lock_not_available",
        False,
        True,
        lock_timeout(*set_on_database("lock_timeout", "2000")),
    ),
    Case(
        "postgresql",
        "session killed",
        "connection_does_not_exist",
        True,
        True,
        killed_session("SELECT pg_terminate_backend({session})"),
    ),
    Case("postgresql", "immediate shutdown", "connection_does_not_exist", True, True, killed_server(signal.SIGQUIT)),
    Case("postgresql", "shutting down", "cannot_connect_now", True, True, shutting_down),
    Case(
        "postgresql",
        "too many connections",
        "too_many_connections",
        True,
        True,
        too_many_connections(*alter("DATABASE app CONNECTION LIMIT", "2", "-1")),
    ),
    Case(
        "postgresql",
        "read-only",
        "read_only_sql_transaction",
        True,
        True,
        refused_write(*set_on_database("default_transaction_read_only", "on")),
    ),
    Case("postgresql", "plan invalidated", "feature_not_supported", False, True, plan_changed),
    Case("postgresql", "password", "invalid_password", True, False, refused_login(password=SECRET)),
    Case("postgresql", "database", "invalid_catalog_name", True, False, refused_login(database="nowhere")),
    Case("mariadb mysql", "deadlock", "ER_LOCK_DEADLOCK", False, True, deadlock),
    Case(
        "mariadb mysql",
        "lock",
        "ER_LOCK_WAIT_TIMEOUT",
        False,
        True,
        lock_timeout(*set_global("innodb_lock_wait_timeout", 2, 50)),
    ),
    Case(
        "mariadb",
        "serialization failure",
        "ER_CHECKREAD",
        False,
        True,
        serialization_failure("REPEATABLE READ", "SET innodb_snapshot_isolation = ON"),
    ),
    Case("mariadb mysql", "session killed", "CR_SERVER_LOST", True, True, killed_session("KILL {session}")),
    Case("mariadb mysql", "killed", "CR_SERVER_LOST", True, True, killed_server(signal.SIGKILL)),
    Case("mariadb", "shut down", "CR_SERVER_LOST", True, True, killed_server(signal.SIGTERM)),
    Case("mysql", "shut down", "ER_SERVER_SHUTDOWN", True, True, killed_server(signal.SIGTERM)),
    Case("mariadb mysql", "idle", "CR_SERVER_LOST", True, True, idle_timeout),
    Case(
        "mariadb mysql",
        "too many connections",
        "ER_CON_COUNT_ERROR",
        True,
        True,
        too_many_connections(*set_global("max_connections", 10, 100)),
    ),
    Case(
        "mariadb mysql",
        "too many connections of each user",
        "ER_TOO_MANY_USER_CONNECTIONS",
        True,
        True,
        too_many_connections(*set_global("max_user_connections", 3, 90)),
    ),
    Case(
        "mariadb mysql",
        "too many connections of one user",
        "ER_USER_LIMIT_REACHED",
        True,
        True,
        too_many_connections(*alter("USER app WITH MAX_USER_CONNECTIONS", "3", "0")),
    ),
    Case(
        "mariadb mysql",
        "read-only",
        "ER_OPTION_PREVENTS_STATEMENT",
        True,
        True,
        refused_write(*set_global("read_only", 1, 0)),
    ),
    Case(
        "mysql",
        "read-only transactions",
        "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION",
        False,
        True,
        refused_write(*set_global("transaction_read_only", 1, 0)),
    ),
    Case(
        "mariadb",
        "read-only transactions",
        "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION",
        False,
        True,
        refused_write(*set_global("tx_read_only", 1, 0)),
    ),
    Case("mariadb mysql", "password", "ER_ACCESS_DENIED_ERROR", True, False, refused_login(password=SECRET)),
    Case(
        "mariadb mysql",
        "database of another user",
        "ER_DBACCESS_DENIED_ERROR",
        True,
        False,
        refused_login(database="mysql"),
    ),
]


PROVOKED = [
    pytest.param(kind, case, id=f"{kind} {case.error} {case.name}", marks=pytest.mark.xdist_group(f"server-{kind}"))
    for case in CASES
    for kind in case.kinds.split()
]


def _code(kind: str, name: str) -> str:
    """Return the code that has this name."""
    dialect = of_scheme(kind)
    [code] = [code for code, known in {**dialect.connection_codes, **dialect.transient_codes}.items() if known == name]
    return code


@pytest.fixture(scope="module")
async def provoked_servers() -> AsyncIterator[Callable[[str], Awaitable[ProvokedServer]]]:
    """A function that returns the server of a kind, which all cases of that kind share."""
    made: dict[str, ProvokedServer] = {}
    with ExitStack() as stack:

        async def started(kind: str) -> ProvokedServer:
            if kind not in made:
                # MariaDB can change this setting only if the configuration file has it
                settings = "max-user-connections = 90\n" if kind == "mariadb" else ""
                made[kind] = await _prepare(kind, *stack.enter_context(server(kind, settings)))
            return made[kind]

        yield started


async def _prepare(kind: str, process: Process, administrator: str) -> ProvokedServer:
    # with an account of its own, because limits and read-only modes do not apply to administrators
    url = make_url(administrator).set(username="app", password="app")
    if kind == "postgresql":
        migrator = url = url.set(database="app")
        statements = ["CREATE USER app PASSWORD 'app'", "CREATE DATABASE app OWNER app"]
    else:
        migrator = make_url(administrator)
        statements = ["CREATE USER app IDENTIFIED BY 'app'", "GRANT SELECT, INSERT, UPDATE, DELETE ON axon.* TO app"]
    prepared = ProvokedServer(kind, process, administrator, url.render_as_string(hide_password=False))
    await prepared.administer(*statements)
    await schema.upgrade(migrator.render_as_string(hide_password=False))
    return prepared


@pytest.mark.parametrize(("kind", "case"), PROVOKED)
async def test_a_provoked_error_has_the_expected_class_and_transience(
    provoked_servers: Callable[[str], Awaitable[ProvokedServer]], kind: str, case: Case
) -> None:
    provoked_server = await provoked_servers(kind)
    with pytest.raises(StorageError) as provoked:
        await case.provoke(provoked_server)
    error = provoked.value
    assert f"[{_code(kind, case.error)}]" in str(error)
    assert isinstance(error, StorageConnectionError if case.connection else QueryError)
    assert error.transient is case.transient
    assert SECRET not in str(error)
    async with open_storage(provoked_server.url, migrate=False) as storage:  # the error has no lasting effect
        await storage.save_trace(sample(TraceRow))
