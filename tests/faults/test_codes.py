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
from tests.faults.private import server
from tests.faults.provoke import (
    SECRET,
    Provoke,
    Site,
    crowded,
    deadlock,
    ended,
    idle,
    in_snapshot,
    lock_timeout,
    opened,
    plan_changed,
    set_global,
    signalled,
    stopping,
    written,
)
from tests.samples import sample
from tests.servers.process import Process

pytestmark = pytest.mark.timeout(120)


class Case(NamedTuple):
    """An error that can be provoked; ``error`` is the vendor's name of its code."""

    kinds: str
    name: str
    error: str
    connection: bool
    transient: bool
    provoke: Provoke


def _database(setting: str, value: str) -> tuple[str, str]:
    return f"ALTER DATABASE app SET {setting} = {value}", f"ALTER DATABASE app RESET {setting}"


def _limit(of: str, value: str, usual: str) -> tuple[str, str]:
    return f"ALTER {of} {value}", f"ALTER {of} {usual}"


CASES = [
    Case("postgresql", "deadlock", "deadlock_detected", False, True, deadlock),
    Case("postgresql", "another snapshot", "serialization_failure", False, True, in_snapshot("REPEATABLE READ")),
    Case(
        "postgresql",
        "lock time-out",
        "lock_not_available",
        False,
        True,
        lock_timeout(*_database("lock_timeout", "2000")),
    ),
    Case(
        "postgresql", "ended", "connection_does_not_exist", True, True, ended("SELECT pg_terminate_backend({session})")
    ),
    Case("postgresql", "immediate shutdown", "connection_does_not_exist", True, True, signalled(signal.SIGQUIT)),
    Case("postgresql", "shutting down", "cannot_connect_now", True, True, stopping),
    Case(
        "postgresql",
        "full",
        "too_many_connections",
        True,
        True,
        crowded(*_limit("DATABASE app CONNECTION LIMIT", "2", "-1")),
    ),
    Case(
        "postgresql",
        "read-only",
        "read_only_sql_transaction",
        True,
        True,
        written(*_database("default_transaction_read_only", "on")),
    ),
    Case("postgresql", "migrated", "feature_not_supported", False, True, plan_changed),
    Case("postgresql", "password", "invalid_password", True, False, opened(password=SECRET)),
    Case("postgresql", "database", "invalid_catalog_name", True, False, opened(database="nowhere")),
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
        "another snapshot",
        "ER_CHECKREAD",
        False,
        True,
        in_snapshot("REPEATABLE READ", "SET innodb_snapshot_isolation = ON"),
    ),
    Case("mariadb mysql", "ended", "CR_SERVER_LOST", True, True, ended("KILL {session}")),
    Case("mariadb mysql", "killed", "CR_SERVER_LOST", True, True, signalled(signal.SIGKILL)),
    Case("mariadb", "shut down", "CR_SERVER_LOST", True, True, signalled(signal.SIGTERM)),
    Case("mysql", "shut down", "ER_SERVER_SHUTDOWN", True, True, signalled(signal.SIGTERM)),
    Case("mariadb mysql", "idle", "CR_SERVER_LOST", True, True, idle),
    Case("mariadb mysql", "full", "ER_CON_COUNT_ERROR", True, True, crowded(*set_global("max_connections", 10, 100))),
    Case(
        "mariadb mysql",
        "full for each",
        "ER_TOO_MANY_USER_CONNECTIONS",
        True,
        True,
        crowded(*set_global("max_user_connections", 3, 90)),
    ),
    Case(
        "mariadb mysql",
        "full for one",
        "ER_USER_LIMIT_REACHED",
        True,
        True,
        crowded(*_limit("USER app WITH MAX_USER_CONNECTIONS", "3", "0")),
    ),
    Case(
        "mariadb mysql",
        "read-only",
        "ER_OPTION_PREVENTS_STATEMENT",
        True,
        True,
        written(*set_global("read_only", 1, 0)),
    ),
    Case(
        "mysql",
        "read-only transactions",
        "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION",
        False,
        True,
        written(*set_global("transaction_read_only", 1, 0)),
    ),
    Case(
        "mariadb",
        "read-only transactions",
        "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION",
        False,
        True,
        written(*set_global("tx_read_only", 1, 0)),
    ),
    Case("mariadb mysql", "password", "ER_ACCESS_DENIED_ERROR", True, False, opened(password=SECRET)),
    Case("mariadb mysql", "database of others", "ER_DBACCESS_DENIED_ERROR", True, False, opened(database="mysql")),
]


PROVOKED = [
    pytest.param(kind, case, id=f"{kind} {case.error} {case.name}", marks=pytest.mark.xdist_group(f"site-{kind}"))
    for case in CASES
    for kind in case.kinds.split()
]


def _code(kind: str, name: str) -> str:
    """Return the code that has this name."""
    dialect = of_scheme(kind)
    [code] = [code for code, known in {**dialect.connection_codes, **dialect.transient_codes}.items() if known == name]
    return code


@pytest.fixture(scope="module")
async def sites() -> AsyncIterator[Callable[[str], Awaitable[Site]]]:
    """Gives the site of a kind, which all its cases share."""
    made: dict[str, Site] = {}
    with ExitStack() as stack:

        async def site(kind: str) -> Site:
            if kind not in made:
                further = {"mariadb": "max-user-connections = 90\n"}.get(
                    kind, ""
                )  # it can be changed only if it is set
                made[kind] = await _prepared(kind, *stack.enter_context(server(kind, further)))
            return made[kind]

        yield site


async def _prepared(kind: str, process: Process, administrator: str) -> Site:
    # an account of its own, since administrators are spared the limits, and write where the server is read-only
    url = make_url(administrator).set(username="app", password="app")
    if kind == "postgresql":
        migrator = url = url.set(database="app")
        statements = ["CREATE USER app PASSWORD 'app'", "CREATE DATABASE app OWNER app"]
    else:
        migrator = make_url(administrator)
        statements = ["CREATE USER app IDENTIFIED BY 'app'", "GRANT SELECT, INSERT, UPDATE, DELETE ON axon.* TO app"]
    site = Site(kind, process, administrator, url.render_as_string(hide_password=False))
    await site.administer(*statements)
    await schema.upgrade(migrator.render_as_string(hide_password=False))
    return site


@pytest.mark.parametrize(("kind", "case"), PROVOKED)
async def test_a_provoked_error_has_the_expected_class_and_transience(
    sites: Callable[[str], Awaitable[Site]], kind: str, case: Case
) -> None:
    site = await sites(kind)
    with pytest.raises(StorageError) as provoked:
        await case.provoke(site)
    error = provoked.value
    assert f"[{_code(kind, case.error)}]" in str(error)
    assert isinstance(error, StorageConnectionError if case.connection else QueryError)
    assert error.transient is case.transient
    assert SECRET not in str(error)
    async with open_storage(site.url, migrate=False) as storage:  # and nothing of it stays
        await storage.save_trace(sample(TraceRow))
