"""The error codes of SQLite files that are damaged, missing or locked."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import event

from axon_storage import (
    QueryError,
    SqlRepository,
    StorageConnectionError,
    StorageError,
    TraceRow,
    create_engine,
    open_storage,
)
from axon_storage.dialects import execute
from axon_storage.engine.retry import Retry
from axon_storage.testing.samples import sample


async def _error_of(path: Path) -> StorageError:
    with pytest.raises(StorageError) as caught:
        async with open_storage(f"sqlite:///{path}", retry_attempts=1) as storage:
            await storage.load_traces(1)
    return caught.value


async def test_a_damaged_or_missing_sqlite_file_is_a_permanent_connection_error(tmp_path: Path) -> None:
    other, damaged = tmp_path / "other.db", tmp_path / "damaged.db"
    other.write_text("no database" * 1000)
    async with open_storage(f"sqlite:///{damaged}"):
        pass
    damaged.write_bytes(damaged.read_bytes()[:4096] + bytes(damaged.stat().st_size - 4096))
    for path, code in ((other, "26"), (damaged, "11"), (tmp_path / "nowhere" / "agents.db", "14")):
        error = await _error_of(path)
        assert f"[{code}]" in str(error)
        assert isinstance(error, StorageConnectionError)
        assert not error.transient


async def test_a_sqlite_file_locked_by_another_process_is_a_transient_error(tmp_path: Path) -> None:
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
