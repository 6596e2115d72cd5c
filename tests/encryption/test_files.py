"""A look at the files of each database: marked documents are in them without encryption, and not with it."""

import asyncio
import os
from pathlib import Path
from subprocess import PIPE

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import AuditRow, EventRow, SessionRow, SqlRepository
from axon_storage.rotation import rotate
from axon_storage.testing.samples import sample
from tests.encryption.conftest import TENANT, keyring

_DIRECTORY = {"postgresql": "SHOW data_directory", "mysql": "SELECT @@datadir", "mariadb": "SELECT @@datadir"}
_FLUSH = {
    "postgresql": ["CHECKPOINT"],
    "mysql": ["FLUSH TABLES sessions, event_history, audit_log FOR EXPORT", "UNLOCK TABLES"],
    "mariadb": ["FLUSH TABLES sessions, event_history, audit_log FOR EXPORT", "UNLOCK TABLES"],
}


@pytest.fixture(params=["sqlite", "postgresql", "mysql", "mariadb"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def files(engine: AsyncEngine, target: str) -> Path:
    """The directory with all files of the database: tables and logs."""
    if target == "sqlite":
        return Path(str(engine.url.database)).parent
    async with engine.connect() as connection:
        return Path((await connection.execute(text(_DIRECTORY[target]))).scalar_one())


async def _flush(engine: AsyncEngine, target: str) -> None:
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for statement in _FLUSH.get(target, []):
            await connection.execute(text(statement))


async def _save_and_change(storage: SqlRepository, mark: str) -> None:
    view = storage.for_tenant(TENANT)
    for number in range(3):
        await view.save_session(sample(SessionRow, TENANT, key="k", value=f"{mark} {number}"))
    await view.append_event(sample(EventRow, TENANT, payload={"text": mark}))
    await view.append_audit(sample(AuditRow, TENANT, detail=[mark]))
    async with view.transaction() as transaction:
        await transaction.save_many([sample(SessionRow, TENANT, key="l", value=mark)])


async def test_no_marked_document_is_in_any_file_of_the_database(
    plain: SqlRepository, storage: SqlRepository, files: Path, engine: AsyncEngine, target: str
) -> None:
    shown, hidden = (f"MARKED{os.urandom(8).hex()}" for _ in range(2))
    await _save_and_change(storage, hidden)
    assert await rotate(SqlRepository(engine, encryption=keyring("one", "two"))) > 0
    await _flush(engine, target)
    assert (await _marked(files, hidden))[hidden] == []
    await _save_and_change(plain, shown)
    await _flush(engine, target)
    found = await _marked(files, hidden, shown)
    assert found[hidden] == []
    assert found[shown] != []  # so a document that is not encrypted is found


async def _marked(files: Path, *marks: str) -> dict[str, list[str]]:
    """Return the files that contain each mark.

    Another process reads them: when a process closes a file of SQLite's, all its locks on that file are released.
    """
    return {mark: await _files_with(files, mark) for mark in marks}


async def _files_with(directory: Path, mark: str) -> list[str]:
    command = ["grep", "--recursive", "--text", "--fixed-strings", "--files-with-matches", mark, str(directory)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    output, _errors = await process.communicate()
    return output.decode().splitlines()
