"""Settings of a server: those that would change a result are overridden, those that may lose a commit are logged."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from axon_storage import (
    CacheRow,
    SessionRow,
    SqlRepository,
    StorageBackend,
    TraceRow,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.dialects import of_scheme
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import KEYED, delete, store
from tests.faults.private import KINDS, server

_BINARY_LOG = "\nserver-id = 1\nlog-bin = {directory}/log\nsync-binlog = 1\n"

CHANGED = {
    "sql_select_limit": ("3", "DEFAULT"),
    "completion_type": ("2", "DEFAULT"),
    "sql_safe_updates": ("1", "0"),
}
"""Settings of MySQL and MariaDB, each with a value that would change results, and the value to restore."""

WEAK = {
    "postgresql": {"synchronous_commit": ("off", "on"), "fsync": ("off", "on")},
    "mariadb": {"innodb_flush_log_at_trx_commit": ("2", "1"), "sync_binlog": ("0", "1")},
    "mysql": {"innodb_flush_log_at_trx_commit": ("2", "1"), "sync_binlog": ("0", "1")},
}
"""Settings, each with a value with which a commit may be lost, and the value to restore."""

_MYSQL_AND_MARIADB = pytest.mark.parametrize("private", ["mariadb", "mysql"], indirect=True)


@pytest.fixture(scope="module", params=KINDS)
def private(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """The kind and URL of a durable server that no other test uses."""
    with server(request.param, "" if request.param == "postgresql" else _BINARY_LOG) as (_, url):
        yield request.param, url


async def _ask(url: str, statement: str) -> str | None:
    """Run a statement outside a transaction, and return the last value of its first row."""
    engine = create_engine(url)
    try:
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            found = await connection.execute(text(statement))
            return str(found.one()[-1]) if found.returns_rows else None
    finally:
        await engine.dispose()


@asynccontextmanager
async def _set(kind: str, url: str, name: str, values: tuple[str, str]) -> AsyncIterator[None]:
    """Set a server's setting to the first value, and at the end to the second."""
    value, before = values
    await _change(kind, url, name, value)
    try:
        yield
    finally:
        await _change(kind, url, name, before)


async def _change(kind: str, url: str, name: str, value: str) -> None:
    if kind != "postgresql":
        await _ask(url, f"SET GLOBAL {name} = {value}")
        return
    await _ask(url, f"ALTER SYSTEM SET {name} = {value}")
    await _ask(url, "SELECT pg_reload_conf()")
    while await _ask(url, f"SHOW {name}") != value:  # noqa: ASYNC110  # the server does not notify
        await asyncio.sleep(0.01)


async def _warnings_at_opening(url: str, log: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings in the log when a storage is opened and used."""
    log.clear()
    async with open_storage(url, migrate=True) as storage:
        await storage.save_session(sample(SessionRow, scope="warnings"))  # a scope that no other test counts
        await storage.save_session(sample(SessionRow, scope="warnings"))
    return [record.getMessage() for record in log.records if record.levelno >= logging.WARNING]


async def test_a_setting_that_may_lose_a_commit_is_logged_once_at_opening(
    private: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    kind, url = private
    assert await _warnings_at_opening(url, caplog) == []
    for name, (value, back) in WEAK[kind].items():
        async with _set(kind, url, name, (value, back)):
            [warning] = await _warnings_at_opening(url, caplog)
        assert f"{name} is {value}: committed data may be lost" in warning
    assert await _warnings_at_opening(url, caplog) == []


async def test_sync_binlog_does_not_matter_without_a_binary_log(caplog: pytest.LogCaptureFixture) -> None:
    with server("mariadb", "\nsync-binlog = 0\n") as (_, url):
        assert await _warnings_at_opening(url, caplog) == []


@_MYSQL_AND_MARIADB
@pytest.mark.parametrize("driver", ["", "+asyncmy"])
@pytest.mark.parametrize("name", CHANGED)
async def test_a_servers_settings_change_no_result(private: tuple[str, str], driver: str, name: str) -> None:
    kind, url = private
    own = make_url(url).set(drivername=kind + driver).render_as_string(hide_password=False)
    await schema.upgrade(url)
    async with _set(kind, url, name, CHANGED[name]), open_storage(own) as storage:
        await _use(storage.backend)


@_MYSQL_AND_MARIADB
@pytest.mark.parametrize("driver", ["", "+asyncmy"])
async def test_a_limit_that_a_hosts_engine_sets_does_not_shorten_lists(private: tuple[str, str], driver: str) -> None:
    kind, url = private
    await schema.upgrade(url)
    scheme = of_scheme(kind).schemes[kind + driver]
    host = make_url(url).set(drivername=scheme).update_query_dict({"charset": "utf8mb4"})
    limited = create_async_engine(host, connect_args={"init_command": "SET sql_select_limit = 3"})
    async with SqlRepository(limited) as storage:
        await _use(storage)


async def _use(storage: StorageBackend) -> None:
    """Save, list, roll back and delete, in batches and row by row."""
    await storage.save_many(sample(SessionRow, key=f"{number}") for number in range(10))
    with pytest.raises(LookupError):
        async with storage.transaction() as transaction:
            await transaction.save_session(sample(SessionRow, key="undone"))
            raise LookupError
    assert len(await storage.load_sessions("name")) == 10
    await storage.save_many(sample(TraceRow, trace_id=number) for number in range(10))
    assert len([recorded async for recorded in storage.iter_traces(page_size=4)]) == 10
    assert await storage.delete_traces(range(20)) == 10
    for row_type in KEYED:
        await store(storage, sample(row_type))
        assert await delete(storage, sample(row_type)) == 1
    await storage.save_cache_entry(sample(CacheRow, ttl_secs=0))
    assert await storage.evict_expired_cache() == 1
    for number in range(10):
        assert await storage.delete_session("name", f"{number}")
