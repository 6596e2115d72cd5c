"""Opening a storage: URLs, the schema's state, engines of any origin, health, closing."""

import asyncio
import logging
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import literal, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from axon_storage import (
    EventRow,
    InMemoryBackend,
    QueryError,
    SerializationError,
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    StorageDispatcher,
    TraceRow,
    create_engine,
    open_storage,
    schema,
)
from axon_storage.dialects import of_scheme
from axon_storage.sql.tables import VERSION_TABLE
from tests.databases import Databases
from tests.samples import sample


async def _execute(url: str, statement: str) -> None:
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def test_a_plain_url_is_all_it_takes(url: str) -> None:
    async with open_storage(url) as storage:
        await storage.save_trace(sample(TraceRow))
    async with await StorageDispatcher.from_url(url) as storage:
        assert await storage.load_traces(9) == [sample(TraceRow)]


@pytest.mark.parametrize("target", ["mariadb", "mysql", "mariadb-asyncmy", "mysql-asyncmy"])
async def test_mysql_and_mariadb_in_a_url_mean_what_the_server_really_is(url: str) -> None:
    plain = make_url(url)
    kind, plus, driver = plain.drivername.partition("+")
    other = plain.set(drivername={"mysql": "mariadb", "mariadb": "mysql"}[kind] + plus + driver)
    async with open_storage(other.render_as_string(hide_password=False)) as storage:
        await storage.save_many([sample(SessionRow), sample(TraceRow)])
        await asyncio.gather(*(storage.save_session(sample(SessionRow, key=key)) for key in "abc"))
        assert await storage.delete_session("name", "a")
        assert [entry.key for entry in await storage.load_sessions("name")] == ["b", "c", "name"]
        assert await storage.load_traces(9) == [sample(TraceRow)]
        assert await schema.differences(url) == []


async def test_the_url_defaults_to_the_environments(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    async with open_storage() as storage:
        assert isinstance(storage.backend, SqlRepository)
        assert await storage.is_healthy()


async def test_any_engine_of_a_supported_driver_will_do(url: str) -> None:
    plain = make_url(url)
    driver = of_scheme(plain.drivername).schemes[plain.drivername]
    engine = create_async_engine(plain.set(drivername=driver))
    async with engine.connect() as connection:  # it was in use before
        await connection.execute(select(literal(1)))
    async with SqlRepository(engine) as storage, SqlRepository(engine) as other:
        await storage.save_session(sample(SessionRow, value="'\"\\ 🙂 " * 1000))
        await asyncio.gather(*(other.save_session(sample(SessionRow, key=str(n))) for n in range(20)))
        assert len(await storage.load_sessions("name")) == 21
        assert await storage.is_healthy()


async def test_without_a_schema_opening_says_what_to_do_and_migrate_does_it(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    with pytest.raises(StorageConnectionError, match=r"has no schema, revision \d+ is needed: run `") as refused:
        async with open_storage(url, migrate=False):
            pass
    assert refused.value.operation == "open"
    async with open_storage(url, migrate=True) as storage:
        await storage.save_trace(sample(TraceRow))
    async with open_storage(url, migrate=False) as storage:
        assert await storage.is_healthy()
        assert await storage.load_traces(1) == [sample(TraceRow)]


async def test_sqlite_alone_brings_its_schema_up_by_itself(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    if target == "sqlite":
        async with open_storage(url) as storage:
            assert await storage.is_healthy()
    else:
        with pytest.raises(StorageConnectionError, match="has no schema"):
            await StorageDispatcher.from_url(url)


async def test_each_state_of_the_schema_is_told_with_what_mends_it(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    head = schema.head()
    await schema.upgrade(url, "0001")
    for revision, message in (
        ("0001", f"at revision 0001, revision {head} is needed: run `axon-storage migrate upgrade`"),
        ("9999", f"at revision 9999, this package knows {head}: upgrade this package, or open"),
        (
            "f00d",
            f"at revision f00d, which this package does not have; {head} is needed: .*`axon-storage migrate stamp`",
        ),
    ):
        await _execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")
        with pytest.raises(StorageConnectionError, match=message) as refused:
            await StorageDispatcher.from_url(url, migrate=False)
        assert refused.value.operation == "open"
        assert not refused.value.transient


async def test_a_newer_schema_is_refused_unless_allowed(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    await schema.upgrade(url)
    await _execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    for migrate in (True, False):
        with pytest.raises(StorageConnectionError, match="the schema is at revision 9999, this package knows"):
            await StorageDispatcher.from_url(url, migrate=migrate)
    async with open_storage(url, allow_ahead=True) as storage:
        await storage.save_trace(sample(TraceRow))
        assert await storage.is_healthy()
    await _execute(url, f"UPDATE {VERSION_TABLE} SET version_num = 'f00d'")
    with pytest.raises(StorageConnectionError, match="none of this package's"):
        await StorageDispatcher.from_url(url, allow_ahead=True)


async def test_health_is_false_without_a_schema_and_when_nothing_answers(databases: Databases, target: str) -> None:
    storage = SqlRepository(create_engine(await databases.empty(target)))
    assert not await storage.is_healthy()
    await storage.close()
    nowhere = "sqlite:////nowhere/at/all.db" if target == "sqlite" else "postgresql://a:b@127.0.0.1:1/x"
    storage = SqlRepository(create_engine(nowhere))
    assert not await storage.is_healthy()
    await storage.close()


async def test_a_busy_pool_is_no_illness(url: str) -> None:
    opened = open_storage(url, pool_size=1, max_overflow=0, pool_timeout=0.2)
    async with opened as storage, storage.transaction() as block:
        await block.load_traces(1)
        assert await storage.is_healthy()


async def test_a_pool_that_stays_busy_is_a_transient_error(url: str) -> None:
    async with open_storage(url, pool_size=1, max_overflow=0, pool_timeout=0.05) as storage:
        async with storage.transaction():
            with pytest.raises(StorageConnectionError, match="load_traces: no connection of the pool") as busy:
                await storage.load_traces(1)
            assert busy.value.transient
        assert await storage.load_traces(1) == []


async def test_storages_that_open_at_the_same_moment_do_not_mix_up_their_migrations(
    databases: Databases, target: str
) -> None:
    urls = [await databases.empty(target) for _ in range(3)]
    opened = await asyncio.gather(*(StorageDispatcher.from_url(url, migrate=True) for url in urls))
    for storage in opened:
        assert await storage.is_healthy()
        await storage.close()


async def test_an_engine_made_for_autocommit_still_gives_transactions(url: str) -> None:
    plain = make_url(url)
    driver = of_scheme(plain.drivername).schemes[plain.drivername]
    async with SqlRepository(
        create_async_engine(plain.set(drivername=driver), isolation_level="AUTOCOMMIT")
    ) as storage:
        with pytest.raises(LookupError):
            async with storage.transaction() as block:
                await block.save_trace(sample(TraceRow))
                raise LookupError
        assert await storage.load_traces(9) == []


async def test_a_sqlite_file_that_sorts_otherwise_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "wide.db")) as connection:
        connection.execute("PRAGMA encoding = 'UTF-16le'")
        connection.execute("CREATE TABLE hosts (name)")
    with pytest.raises(StorageConnectionError, match="encoding is UTF-16le"):
        await StorageDispatcher.from_url(f"sqlite:///{tmp_path}/wide.db")


async def test_each_connection_to_a_sqlite_file_syncs_every_commit(tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{tmp_path}/agents.db") as storage:
        assert isinstance(storage.backend, SqlRepository)
        async with storage.backend.engine.connect() as connection:
            assert (await connection.execute(text("PRAGMA synchronous"))).scalar() == 2  # FULL
            assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"


async def test_close_lets_calls_under_way_end_and_refuses_later_ones(url: str) -> None:
    storage = await StorageDispatcher.from_url(url)
    calls = [asyncio.create_task(storage.save_trace(sample(TraceRow, trace_id=number))) for number in range(10)]
    await asyncio.sleep(0)
    await storage.close()
    await asyncio.gather(*calls)
    with pytest.raises(StorageConnectionError, match="connection error: load_traces: this storage is closed"):
        await storage.load_traces(1)
    await storage.close()
    async with open_storage(url) as again:
        assert len(await again.load_traces(99)) == 10


async def test_switching_sends_later_calls_elsewhere_and_gives_the_old_backend_back(url: str) -> None:
    async with open_storage(url) as storage:
        view = storage.for_tenant("a")
        await view.save_trace(sample(TraceRow, "a"))
        under_way = asyncio.create_task(storage.save_many(sample(TraceRow, trace_id=n) for n in range(2000)))
        await asyncio.sleep(0)
        old = storage.switch_to(InMemoryBackend())
        assert await view.load_traces(1) == []
        assert await storage.load_traces(1) == []
        await under_way
        assert len(await old.load_traces(9999)) == 2000
        storage.switch_to(old)
        assert await view.load_traces(1) == [sample(TraceRow, "a")]
        async with storage.for_tenant("a").transaction() as block:
            assert await block.load_traces(9) == [sample(TraceRow, "a")]


async def test_a_storage_belongs_to_its_event_loop(repository: SqlRepository) -> None:
    await repository.load_traces(1)
    errors: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(repository.load_traces(1))
        except StorageConnectionError as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "belongs to another event loop" in str(errors[0])


@pytest.mark.not_on("sqlite", "a file has no password")
async def test_a_wrong_password_is_told_and_never_shown(url: str, caplog: pytest.LogCaptureFixture) -> None:
    wrong = make_url(url).set(password="not-the-secret").render_as_string(hide_password=False)
    with caplog.at_level(logging.DEBUG), pytest.raises(StorageConnectionError) as refused:
        await StorageDispatcher.from_url(wrong)
    assert not refused.value.transient
    assert refused.value.__cause__ is not None
    assert "not-the-secret" not in f"{refused.value} {refused.value.__cause__!r} {caplog.text}"


async def test_no_log_shows_a_stored_value_at_any_level(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with open_storage(url) as storage:
            await storage.save_session(sample(SessionRow, value="the secret"))
            await storage.save_many(sample(SessionRow, key=f"{n}", value="the secret") for n in range(3))
            async with storage.transaction() as block:
                await block.append_event(sample(EventRow, payload={"text": "the secret"}))
            with pytest.raises(SerializationError):
                await storage.save_session(sample(SessionRow, value="the secret\0"))
            assert len(await storage.load_sessions("name")) == 4
            await storage.delete_session("name", "name")
    assert "the secret" not in caplog.text


@pytest.mark.fails_on("oracle-double", "it serves every service name")
async def test_a_missing_database_is_a_connection_error(url: str, target: str) -> None:
    missing = make_url(url)
    if "oracle" in target:
        missing = missing.update_query_dict({"service_name": "NO_SUCH_SERVICE"})
    else:
        missing = missing.set(database="/nowhere/at/all.db" if target == "sqlite" else "no_such_database")
    with pytest.raises(StorageConnectionError, match=r"^connection error: (open|upgrade): \[") as refused:
        await StorageDispatcher.from_url(missing.render_as_string(hide_password=False))
    assert not refused.value.transient


@pytest.mark.not_on("sqlite", "there is no server")
async def test_a_server_that_does_not_listen_is_a_transient_connection_error(url: str) -> None:
    nowhere = make_url(url).set(port=1).render_as_string(hide_password=False)
    with pytest.raises(StorageConnectionError) as refused:
        await StorageDispatcher.from_url(nowhere)
    assert refused.value.transient


async def test_a_statement_the_database_refuses_is_a_query_error_with_the_drivers_cause(
    databases: Databases, target: str
) -> None:
    url = await databases.empty(target)
    await schema.upgrade(url)
    async with open_storage(url) as storage:
        await _execute(url, "DROP TABLE sessions")
        with pytest.raises(QueryError, match="query error: save_session: ") as refused:
            await storage.save_session(sample(SessionRow, value="a bound value " * 20))
        assert not refused.value.transient
        assert type(refused.value.__cause__).__module__.partition(".")[0] != "sqlalchemy"
        assert "a bound value" not in str(refused.value)
        await storage.save_trace(sample(TraceRow))  # the pool is clean
