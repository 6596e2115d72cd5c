"""Each error code that a server can be brought to give, provoked on it, and what the dialect makes of it."""

import asyncio
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url

from axon_storage import (
    QueryError,
    SqlRepository,
    StorageConnectionError,
    StorageDispatcher,
    StorageError,
    TraceRow,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.dialects import execute, of_scheme
from axon_storage.engine.executor import Executor
from axon_storage.engine.retry import Retry
from tests.faults.private import server
from tests.samples import sample
from tests.servers.process import Process

pytestmark = pytest.mark.timeout(120)

SECRET = "not-the-password"


@dataclass
class Site:
    """A server with an administrator, and with an application's account, which the provoked errors befall."""

    kind: str
    process: Process
    administrator: str
    url: str

    async def administer(self, *statements: str) -> list[Any]:
        """Run statements as the administrator; give the rows of the last."""
        engine = create_engine(self.administrator)
        try:
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                results = [await connection.execute(text(statement)) for statement in statements]
                return list(results[-1].all()) if results[-1].returns_rows else []
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def setting(self, change: str, undo: str) -> AsyncIterator[None]:
        """The server set otherwise, for sessions that begin in the block."""
        await self.administer(change)
        try:
            yield
        finally:
            await self.administer(undo)

    @asynccontextmanager
    async def storage(self, **options: Any) -> AsyncIterator[StorageDispatcher]:
        """A storage that never tries again."""
        async with open_storage(self.url, migrate=False, retry_attempts=1, **options) as storage:
            yield storage

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator["asyncio.Task[None]"]:
        """A save that waits for the lock of another."""
        async with self.storage() as holder, self.storage() as waiter:
            with suppress(StorageError):  # what befalls the waiter may befall the holder
                async with holder.transaction() as block:
                    await block.save_trace(sample(TraceRow))
                    task = asyncio.create_task(waiter.save_trace(sample(TraceRow)))
                    while not await self.administer(_WAITERS[self.kind]):
                        assert not task.done(), task.exception()
                    yield task
                    await asyncio.wait({task})


_WAITERS = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    "mariadb": "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    "mysql": "SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


async def deadlock(site: Site) -> None:
    both = asyncio.Barrier(2)

    async def cross(storage: StorageDispatcher, first: int, second: int) -> None:
        async with storage.transaction() as block:
            await block.save_trace(sample(TraceRow, trace_id=first))
            await both.wait()
            await block.save_trace(sample(TraceRow, trace_id=second))

    async with site.storage() as storage:
        ends = await asyncio.gather(cross(storage, 1, 2), cross(storage, 2, 1), return_exceptions=True)
    [error] = [end for end in ends if end is not None]
    raise error


def lock_timeout(change: str, undo: str) -> "Provoke":
    async def provoke(site: Site) -> None:
        async with site.setting(change, undo), site.waiting() as task:
            await asyncio.wait({task})
        await task

    return provoke


def ended(end: str) -> "Provoke":
    async def provoke(site: Site) -> None:
        async with site.waiting() as task:
            [[session]] = await site.administer(_WAITERS[site.kind])
            await site.administer(end.format(session=session))
        await task

    return provoke


def signalled(how: signal.Signals) -> "Provoke":
    async def provoke(site: Site) -> None:
        async with site.waiting() as task:
            site.process.popen.send_signal(how)
            await asyncio.wait({task})
        await back(site)
        await task

    return provoke


async def back(site: Site) -> None:
    await asyncio.to_thread(site.process.restart)
    while True:
        with suppress(StorageConnectionError):  # it is on its way
            async with site.storage():
                return


async def stopping(site: Site) -> None:
    async with site.storage() as storage, storage.transaction() as block:
        await block.load_daemons()
        site.process.popen.send_signal(signal.SIGTERM)
        error: StorageError | None = None
        while error is None:
            try:
                async with site.storage():
                    pass
            except StorageError as refused:
                error = refused
    await back(site)
    raise error


def written(change: str, undo: str) -> "Provoke":
    async def provoke(site: Site) -> None:
        async with site.setting(change, undo), site.storage() as storage:
            await storage.save_trace(sample(TraceRow))

    return provoke


def opened(*, password: str | None = None, database: str | None = None) -> "Provoke":
    async def provoke(site: Site) -> None:
        url = make_url(site.url).set(password=password, database=database)
        async with open_storage(url.render_as_string(hide_password=False)):
            pass

    return provoke


def crowded(change: str, undo: str) -> "Provoke":
    async def provoke(site: Site) -> None:
        async with site.setting(change, undo), site.storage(pool_size=20) as storage:
            blocks = [storage.transaction() for _ in range(16)]
            ends = await asyncio.gather(*(block.__aenter__() for block in blocks), return_exceptions=True)
            for block, end in zip(blocks, ends, strict=True):
                if not isinstance(end, BaseException):
                    await block.__aexit__(None, None, None)
        raise next(end for end in ends if isinstance(end, BaseException))

    return provoke


async def idle(site: Site) -> None:
    brief = site.setting(*_global("wait_timeout", 1, 28_800))
    async with brief, site.storage() as storage, storage.transaction() as block:
        await block.load_daemons()
        await asyncio.sleep(1.5)
        await block.load_daemons()


async def plan_changed(site: Site) -> None:
    async with site.storage(pool_size=1, max_overflow=0) as storage:
        await storage.save_trace(sample(TraceRow))
        await storage.load_traces(1)
        engine = create_engine(site.url)
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE traces ALTER COLUMN status TYPE text"))
        await engine.dispose()
        await storage.load_traces(1)


def in_snapshot(isolation: str, before: str = "SELECT 1") -> "Provoke":
    """A row changed by another since the transaction began, at a level that we never ask for, but a host may."""

    async def provoke(site: Site) -> None:
        engine = create_engine(site.url)
        change = text("UPDATE traces SET status = :status")
        executor = Executor(engine)
        async with site.storage() as storage:
            await storage.save_trace(sample(TraceRow))
        try:
            with executor.translate_errors("provoked"):
                async with engine.connect() as connection, engine.connect() as other:
                    await connection.execution_options(isolation_level=isolation)
                    await connection.execute(text(before))
                    await connection.execute(text("SELECT status FROM traces"))
                    await other.execute(change, {"status": "theirs"})
                    await other.commit()
                    await connection.execute(change, {"status": "ours"})
        finally:
            await engine.dispose()

    return provoke


Provoke = Callable[[Site], Awaitable[Any]]


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


def _global(setting: str, value: int, usual: int) -> tuple[str, str]:
    return f"SET GLOBAL {setting} = {value}", f"SET GLOBAL {setting} = {usual}"


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
        lock_timeout(*_global("innodb_lock_wait_timeout", 2, 50)),
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
    Case("mariadb mysql", "full", "ER_CON_COUNT_ERROR", True, True, crowded(*_global("max_connections", 10, 100))),
    Case(
        "mariadb mysql",
        "full for each",
        "ER_TOO_MANY_USER_CONNECTIONS",
        True,
        True,
        crowded(*_global("max_user_connections", 3, 90)),
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
        "mariadb mysql", "read-only", "ER_OPTION_PREVENTS_STATEMENT", True, True, written(*_global("read_only", 1, 0))
    ),
    Case(
        "mysql",
        "read-only transactions",
        "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION",
        False,
        True,
        written(*_global("transaction_read_only", 1, 0)),
    ),
    Case(
        "mariadb",
        "read-only transactions",
        "ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION",
        False,
        True,
        written(*_global("tx_read_only", 1, 0)),
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
async def test_a_provoked_error_is_known_for_what_it_is(
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


async def _met_on_sqlite(path: Path) -> StorageError:
    with pytest.raises(StorageError) as met:
        async with open_storage(f"sqlite:///{path}", retry_attempts=1) as storage:
            await storage.load_traces(1)
    return met.value


async def test_a_sqlite_file_that_is_none_or_damaged_or_nowhere_is_told_and_not_tried_again(tmp_path: Path) -> None:
    other, damaged = tmp_path / "other.db", tmp_path / "damaged.db"
    other.write_text("no database" * 1000)
    async with open_storage(f"sqlite:///{damaged}"):
        pass
    damaged.write_bytes(damaged.read_bytes()[:4096] + bytes(damaged.stat().st_size - 4096))
    cases = (
        (other, "SQLITE_NOTADB"),
        (damaged, "SQLITE_CORRUPT"),
        (tmp_path / "nowhere" / "agents.db", "SQLITE_CANTOPEN"),
    )
    for path, name in cases:
        error = await _met_on_sqlite(path)
        assert f"[{_code('sqlite', name)}]" in str(error)
        assert isinstance(error, StorageConnectionError)
        assert not error.transient


async def test_a_sqlite_file_that_another_process_keeps_locked_may_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "agents.db"
    async with open_storage(f"sqlite:///{path}"):
        pass
    engine = create_engine(f"sqlite:///{path}")
    # the usual half minute is long for a test
    event.listen(engine.sync_engine, "checkout", lambda connection, *_: execute(connection, "PRAGMA busy_timeout = 50"))
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    async with SqlRepository(engine, retry=Retry(attempts=1)) as storage:
        with pytest.raises(QueryError, match=r"save_trace: \[5\]") as busy:
            await storage.save_trace(sample(TraceRow))
        assert busy.value.transient
        holder.rollback()
        await storage.save_trace(sample(TraceRow))
    holder.close()
