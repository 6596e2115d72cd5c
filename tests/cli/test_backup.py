"""``axon-storage backup``, and the function behind it."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from axon_storage import EventRow, InvalidArgumentError, QueryError, SessionRow, StorageConnectionError, open_storage
from axon_storage.backup import backup
from axon_storage.diagnosis import diagnose
from axon_storage.model.findings import Status
from axon_storage.testing.samples import sample
from tests.cli.conftest import Axon
from tests.databases import SERVERS

WRITERS = 8


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "agents.db"


async def test_a_backup_during_writes_has_every_row_acknowledged_before_it_began(
    database: Path, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    async with open_storage(f"sqlite:///{database}") as storage:
        with closing(sqlite3.connect(database)) as reader:
            # an open snapshot keeps every later commit in the write-ahead log only
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sessions").fetchone()

            async def write(writer: int) -> None:
                for number in range(10**9):
                    key = f"{writer}-{number}"
                    await storage.save_session(sample(SessionRow, scope="s", key=key, value="x" * 3000))
                    acknowledged.append(key)

            writers = [asyncio.create_task(write(writer)) for writer in range(WRITERS)]
            for number in range(3):
                while len(acknowledged) < 200 * (number + 1):  # noqa: ASYNC110  # the writers do not signal
                    await asyncio.sleep(0.01)
                expected, file = set(acknowledged), tmp_path / f"backup-{number}.db"
                result = await backup(f"sqlite:///{database}", file)
                with closing(sqlite3.connect(file)) as copy:
                    assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                    keys = {key for (key,) in copy.execute("SELECT key FROM sessions")}
                assert expected <= keys
                assert result.tables["sessions"] == len(keys)
            for writer in writers:
                writer.cancel()
            await asyncio.gather(*writers, return_exceptions=True)
    assert (database.parent / "agents.db").stat().st_size > 0
    findings = [finding async for finding in diagnose(f"sqlite:///{tmp_path}/backup-2.db")]
    assert [finding for finding in findings if finding.status is not Status.OK] == []
    async with open_storage(f"sqlite:///{tmp_path}/backup-2.db", migrate=False) as restored:
        assert len(await restored.load_sessions("s")) >= 600


async def test_a_backup_reports_its_rows_and_leaves_no_other_file(axon: Axon, database: Path, tmp_path: Path) -> None:
    async with open_storage(f"sqlite:///{database}") as storage:
        await storage.append_event(sample(EventRow))
        done = await axon("backup", f"{tmp_path}/copy.db", "--json", url=f"sqlite:///{database}")
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert (document["tables"]["event_history"], document["integrity"]) == (1, "ok")
    assert document["bytes"] == (tmp_path / "copy.db").stat().st_size
    assert sorted(file.name for file in tmp_path.iterdir()) == ["agents.db", "copy.db"]  # noqa: ASYNC240


async def test_an_existing_file_is_replaced_only_by_force(axon: Axon, database: Path, tmp_path: Path) -> None:
    url, file = f"sqlite:///{database}", tmp_path / "copy.db"
    async with open_storage(url):
        pass
    file.write_text("precious")
    refused = await axon("backup", f"{file}", url=url)
    assert (refused.exit_code, file.read_text()) == (1, "precious")
    assert refused.stderr == f"{file} exists: choose another name, or use --force to replace it\n"
    assert (await axon("backup", f"{file}", "--force", url=url)).exit_code == 0
    assert file.read_bytes().startswith(b"SQLite format 3")


async def test_impossible_targets_are_refused(database: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{database}"
    async with open_storage(url):
        for file, force in ((database, True), (tmp_path / "no folder" / "copy.db", False)):
            with pytest.raises(InvalidArgumentError):
                await backup(url, file, force=force)
        (tmp_path / "used.db").touch()
        (tmp_path / "used.db-wal").write_bytes(b"a log")  # SQLite would apply it to the copy
        with pytest.raises(InvalidArgumentError):
            await backup(url, tmp_path / "used.db", force=True)
    with pytest.raises(StorageConnectionError):
        await backup(f"sqlite:///{tmp_path}/missing.db", tmp_path / "copy.db")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["agents.db", "used.db", "used.db-wal"]  # noqa: ASYNC240


async def test_a_damaged_database_is_not_backed_up_as_if_it_were_sound(database: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{database}"
    async with open_storage(url) as storage:
        await storage.save_many(sample(SessionRow, key=f"{number}", value="x" * 500) for number in range(500))
    with closing(sqlite3.connect(database)) as connection:
        # an index that says it has no entries
        connection.execute("PRAGMA writable_schema = ON")
        empty = "(SELECT rootpage FROM sqlite_master WHERE name = 'ix_traces_flow')"
        connection.execute(f"UPDATE sqlite_master SET rootpage = {empty} WHERE name = 'sqlite_autoindex_sessions_1'")
        connection.commit()
    with pytest.raises(QueryError):
        await backup(url, tmp_path / "copy.db")
    assert [file.name for file in tmp_path.iterdir() if "copy" in file.name] == []  # noqa: ASYNC240


async def test_a_cancelled_backup_leaves_no_file(database: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{database}"
    async with open_storage(url) as storage:
        for _ in range(4):
            await storage.save_many(sample(EventRow, payload="x" * 10_000) for _ in range(1000))
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    running = asyncio.create_task(
        backup(url, tmp_path / "copy.db", progress=lambda *_: loop.call_soon_threadsafe(reached.set))
    )
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [file.name for file in tmp_path.iterdir()] == ["agents.db"]  # noqa: ASYNC240


@pytest.mark.parametrize("target", [server for server in SERVERS if server != "sqlite"])
async def test_a_server_is_backed_up_with_its_own_tool(axon: Axon, tmp_path: Path) -> None:
    refused = await axon("backup", f"{tmp_path}/copy.db")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert any(tool in refused.stderr for tool in ("pg_dump", "mariadb-dump", "expdp"))
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240
