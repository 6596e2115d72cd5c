"""The versions of servers: an untested one is logged at opening, and one that is known to fail is refused."""

import logging

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SqlRepository, StorageConnectionError, create_engine, open_storage, schema
from axon_storage.dialects import dialect_of, dotted
from axon_storage.dialects.versions import OldestServer


def _untested(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [each for each in caplog.records if getattr(each, "storage_event", None) == "untested_server"]


@pytest.mark.parametrize("tested", [True, False])
async def test_an_untested_version_is_one_line_in_the_log(
    url: str, engine: AsyncEngine, tested: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine.connect():  # so that SQLAlchemy knows the version
        dialect = dialect_of(engine.dialect)
    major = str(dialect.server_version(engine.dialect)[0])
    versions = (major,) if tested else (f"{major}{major}",)
    monkeypatch.setattr(type(dialect), "tested_servers", versions)
    caplog.set_level(logging.INFO, "axon_storage")
    async with open_storage(url, migrate=False) as storage:
        found = (await storage.stats()).server_version
    if tested:
        assert _untested(caplog) == []
        return
    [record] = _untested(caplog)
    assert record.levelno == logging.INFO
    assert record.__dict__["server_version"] == found
    assert record.getMessage().endswith(f"not tested with {dialect.title} {found}, but with {', '.join(versions)}")


async def test_a_version_that_is_known_to_fail_is_refused(
    url: str, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine.connect():
        dialect = dialect_of(engine.dialect)
    version = dialect.server_version(engine.dialect)
    next_one = (*version[:-1], version[-1] + 1)
    monkeypatch.setattr(type(dialect), "oldest_server", OldestServer(next_one, "it lacks a collation"))
    said = rf"{dialect.title} [\d.]+ is too old: it lacks a collation; upgrade the server to {dotted(next_one)}"
    for use in (open_storage(url, migrate=False).__aenter__, lambda: schema.upgrade(url)):
        with pytest.raises(StorageConnectionError, match=said) as refused:
            await use()
        assert not refused.value.transient
    made = create_engine(url)
    repository = SqlRepository(made)
    for _ in range(2):
        with pytest.raises(StorageConnectionError, match=said):
            await repository.load_traces(1)
    await repository.close()
    monkeypatch.setattr(type(dialect), "oldest_server", OldestServer(version, "it lacks a collation"))
    async with open_storage(url, migrate=False) as storage:
        await storage.load_traces(1)
