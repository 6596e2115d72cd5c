"""The servers' own tools dump and restore the tables, as docs/how-to/backup.md says."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy.engine import URL, make_url

from axon_storage import SqlRepository, create_engine
from axon_storage.diagnosis import diagnose
from axon_storage.model.findings import Status
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import everything
from tests.databases import Databases, skip_without
from tests.servers import packages

TENANTS = ["default", "acme ☕'"]


class Tools(NamedTuple):
    """The commands that dump a database to a file and restore it, and the environment variable of the password."""

    dump: Callable[[URL, Path], list[str]]
    restore: Callable[[URL, Path], list[str]]
    reads_input: bool
    password: str


def _postgresql() -> Tools | None:
    folder = packages.postgresql()
    if folder is None or not (folder / "pg_dump").exists():
        return None

    def at(url: URL) -> list[str]:
        return [f"--host={url.host}", f"--port={url.port}", f"--username={url.username}"]

    return Tools(
        lambda url, file: [f"{folder}/pg_dump", *at(url), "--format=custom", f"--file={file}", f"{url.database}"],
        lambda url, file: [
            f"{folder}/pg_restore", *at(url), "--exit-on-error", "--no-owner", f"--dbname={url.database}", f"{file}",
        ],
        reads_input=False,
        password="PGPASSWORD",
    )  # fmt: skip


def _mysql(dump: str | Path | None, client: str | Path | None, *options: str) -> Tools | None:
    if dump is None or client is None or not Path(dump).exists():
        return None

    def at(url: URL) -> list[str]:
        return ["--no-defaults", f"--host={url.host}", f"--port={url.port}", f"--user={url.username}"]

    return Tools(
        lambda url, file: [
            f"{dump}", *at(url), "--single-transaction", *options, f"--result-file={file}", f"{url.database}",
        ],
        lambda url, _file: [f"{client}", *at(url), f"{url.database}"],
        reads_input=True,
        password="MYSQL_PWD",
    )  # fmt: skip


def _tools(target: str) -> Tools:
    root = packages.mysql()
    binaries = None if root is None else root / "usr/bin"
    programs: dict[str, Callable[[], Tools | None]] = {
        "postgresql": _postgresql,
        "mariadb": lambda: _mysql(shutil.which("mariadb-dump"), shutil.which("mariadb")),
        "mysql": lambda: _mysql(
            binaries and binaries / "mysqldump", binaries and binaries / "mysql", "--no-tablespaces"
        ),
    }
    return programs[target]() or skip_without(
        f"dumps of {target}", "its dump and restore programs are not on this machine"
    )


@pytest.mark.parametrize("target", ["postgresql", "mariadb", "mysql"])
async def test_a_dump_that_is_restored_has_every_row_and_passes_doctor(
    databases: Databases, target: str, tmp_path: Path
) -> None:
    tools, (url, engine) = _tools(target), await databases.ready(target)
    storage = SqlRepository(engine)
    for tenant in TENANTS:
        await storage.for_tenant(tenant).save_many(sample(row_type, tenant) for row_type in ROW_TYPES)
    file, restored = tmp_path / "agents.dump", await databases.empty(target)
    await asyncio.to_thread(_run, tools, make_url(url), tools.dump, file, None)
    await asyncio.to_thread(_run, tools, make_url(restored), tools.restore, file, file if tools.reads_input else None)
    copy = create_engine(restored)
    try:
        for tenant in TENANTS:
            found = await everything(SqlRepository(copy).for_tenant(tenant))
            assert found == [sample(row_type, tenant) for row_type in ROW_TYPES]
    finally:
        await copy.dispose()
    assert [finding async for finding in diagnose(restored) if finding.status is Status.FAIL] == []


def _run(tools: Tools, url: URL, command: Callable[[URL, Path], list[str]], file: Path, given: Path | None) -> None:
    environment = os.environ | {tools.password: url.password or ""}
    done = subprocess.run(
        command(url, file),
        env=environment,
        input=None if given is None else given.read_bytes(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
