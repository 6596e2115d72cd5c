"""Open a storage from a URL, from the environment, or on an engine of the host."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import literal, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from axon_storage import (
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    StorageDispatcher,
    TraceRow,
    open_storage,
    schema,
)
from axon_storage.dialects import of_scheme
from axon_storage.testing.samples import sample


async def test_a_storage_opens_from_a_plain_url(url: str) -> None:
    async with open_storage(url) as storage:
        await storage.save_trace(sample(TraceRow))
    async with await StorageDispatcher.from_url(url) as storage:
        assert await storage.load_traces(9) == [sample(TraceRow)]


@pytest.mark.parametrize("target", ["mariadb", "mysql", "mariadb-asyncmy", "mysql-asyncmy"])
async def test_mysql_and_mariadb_urls_work_with_either_server(url: str) -> None:
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


async def test_the_url_defaults_to_database_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    async with open_storage() as storage:
        assert isinstance(storage.backend, SqlRepository)
        assert await storage.is_healthy()


@pytest.mark.not_on("postgresql-pgbouncer-1.18", "a host passes the sizes of the caches as numbers, not in the URL")
async def test_any_engine_of_a_supported_driver_can_be_used(url: str) -> None:
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


@pytest.mark.not_on("postgresql-pgbouncer-1.18", "a host passes the sizes of the caches as numbers, not in the URL")
async def test_an_engine_made_for_autocommit_still_gives_transactions(url: str) -> None:
    plain = make_url(url)
    driver = of_scheme(plain.drivername).schemes[plain.drivername]
    async with SqlRepository(
        create_async_engine(plain.set(drivername=driver), isolation_level="AUTOCOMMIT")
    ) as storage:
        with pytest.raises(LookupError):
            async with storage.transaction() as transaction:
                await transaction.save_trace(sample(TraceRow))
                raise LookupError
        assert await storage.load_traces(9) == []


async def test_a_sqlite_file_with_another_encoding_is_refused(tmp_path: Path) -> None:
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
