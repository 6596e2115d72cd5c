"""``axon-storage copy``, ``verify``, ``export`` and ``import``."""

import asyncio
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from axon_storage import SessionRow, SqlRepository, create_engine, open_storage, schema
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import everything
from tests.cli.conftest import Axon
from tests.databases import Databases

_ROWS = "sed '1d;$d'"  # without the header and the last line, which have the time of the export
_KEY = (sample(SessionRow).scope, sample(SessionRow).key)


@pytest.fixture
async def filled(repository: SqlRepository) -> SqlRepository:
    for tenant in ("a", "b"):
        await repository.for_tenant(tenant).save_many(sample(row_type, tenant) for row_type in ROW_TYPES)
    return repository


@pytest.fixture
async def other(databases: Databases) -> str:
    """A file that does not exist yet."""
    return await databases.empty("sqlite")


async def _rows(url: str, tenant: str) -> int:
    async with open_storage(url, migrate=False) as storage:
        return len(await everything(storage.for_tenant(tenant)))


async def test_a_copy_is_verified(axon: Axon, filled: SqlRepository, url: str, other: str) -> None:
    del filled
    done = await axon("copy", url, other)
    created = f"the target's schema was created at revision {schema.head()}\n"
    assert (done.exit_code, done.stderr) == (0, f"{created}verified: every value is equal\n")
    assert await _rows(other, "a") == await _rows(other, "b") == len(ROW_TYPES)
    equal = await axon("verify", url, other, "--json")
    assert (equal.exit_code, json.loads(equal.stdout)["equal"]) == (0, True)


async def test_a_copy_of_one_tenant_leaves_the_others(axon: Axon, filled: SqlRepository, url: str, other: str) -> None:
    del filled
    assert (await axon("copy", url, other, "--tenant", "a")).exit_code == 0
    assert (await _rows(other, "a"), await _rows(other, "b")) == (len(ROW_TYPES), 0)
    assert (await axon("verify", url, other)).exit_code == 3


async def test_an_upgrade_of_the_targets_schema_is_asked_for_and_reported(
    axon: Axon, filled: SqlRepository, url: str, other: str
) -> None:
    await schema.upgrade(other)
    async with SqlRepository(create_engine(other)) as storage:
        await storage.for_tenant("a").save_session(sample(SessionRow, "a", key="of the target"))
    await schema.downgrade(other, "-1")
    old = await schema.current(other)
    refused = await axon("copy", url, other)
    assert refused.exit_code == 1
    assert f"is upgraded from revision {old} to {schema.head()}. The target has rows of 1 tenants." in refused.stderr
    assert await schema.current(other) == old
    done = await axon("copy", url, other, "--yes", "--json", "--delete-extra")
    assert f"was upgraded from revision {old} to {schema.head()}" in done.stderr
    found = json.loads(done.stdout)
    assert found == {
        "tables": {row_type.TABLE: 2 for row_type in ROW_TYPES},
        "tenants": 2,
        "deleted": 1,
        "schema": {"from": old, "to": schema.head()},
        "verified": True,
    }
    await filled.for_tenant("a").delete_session(*_KEY)
    again = await axon("copy", url, other, "--yes", "--delete-extra")
    assert again.stdout.endswith("1 other rows deleted from the target\n")
    assert again.stderr == "verified: every value is equal\n"


async def test_a_target_with_rows_is_overwritten_only_after_a_question(
    axon: Axon, filled: SqlRepository, url: str, other: str
) -> None:
    assert (await axon("copy", url, other)).exit_code == 0
    await filled.for_tenant("a").save_session(sample(SessionRow, "a", value="changed"))
    refused = await axon("copy", url, other)
    assert refused.exit_code == 1
    assert "--yes" in refused.stderr
    differs = await axon("verify", url, other)
    assert differs.exit_code == 3
    assert "sessions, tenant 'a', scope 'name', key 'name': differs value" in differs.stderr
    assert "changed" not in differs.output
    assert (await axon("copy", url, other, "--yes")).exit_code == 0
    assert (await axon("verify", url, other)).exit_code == 0


async def test_nothing_to_copy_verify_or_export_is_status_3(axon: Axon, url: str, other: str, tmp_path: Path) -> None:
    assert (await axon("copy", url, other)).exit_code == 3
    assert (await axon("migrate", "upgrade", "--url", other)).exit_code == 0
    assert (await axon("verify", url, other)).exit_code == 3
    assert (await axon("export", f"{tmp_path}/rows.jsonl")).exit_code == 3
    for command in ("copy", "verify"):
        for same in (url, f"{url}?timeout=7"):
            assert (await axon(command, url, same)).exit_code == 2


async def test_a_tenant_without_rows_is_status_3(
    axon: Axon, filled: SqlRepository, url: str, other: str, tmp_path: Path
) -> None:
    del filled
    file, given = f"{tmp_path}/rows.jsonl", ("--tenant", "a", "--tenant", "typo")
    assert (await axon("migrate", "upgrade", url=other)).exit_code == 0
    for command in (("copy", url, other), ("verify", url, other), ("export", file)):
        done = await axon(*command, *given)
        assert (done.exit_code, done.stdout) == (3, "")
        assert done.stderr.startswith("there are no rows of tenant 'typo': nothing was")
    assert (await _rows(other, "a"), os.listdir(tmp_path)) == (0, [])  # noqa: PTH208  # Path.iterdir is refused too


async def test_an_export_can_be_imported(
    axon: Axon, filled: SqlRepository, url: str, other: str, tmp_path: Path
) -> None:
    del filled
    file = f"{tmp_path}/rows.jsonl.gz"
    done = await axon("export", file)
    assert done.exit_code == 0
    assert done.stdout.endswith(f"{2 * len(ROW_TYPES)} rows of 2 tenants\n")
    assert (await axon("export", file)).exit_code == 1  # it exists
    assert (await axon("export", file, "--force")).exit_code == 0
    assert (await axon("migrate", "upgrade", url=other)).exit_code == 0
    assert (await axon("import", file, url=other)).exit_code == 0
    assert (await axon("verify", url, other)).exit_code == 0
    assert (await axon("import", file, url=other)).exit_code == 1  # it has rows, and nobody can answer
    assert (await axon("import", file, "--yes", url=other)).exit_code == 0
    assert (await axon("import", f"{tmp_path}/missing.jsonl", url=other)).exit_code == 1


def _run(url: str, command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command of a shell, in which ``axon-storage`` is the command line."""
    environment = {**os.environ, "DATABASE_URL": url}
    shell = command.replace("axon-storage", f"{shlex.quote(sys.executable)} -m axon_storage")
    return subprocess.run(["bash", "-o", "pipefail", "-c", shell], env=environment, capture_output=True, check=False)


async def test_a_pipe_connects_an_export_with_an_import(
    axon: Axon, filled: SqlRepository, url: str, other: str
) -> None:
    del filled
    assert (await axon("migrate", "upgrade", url=other)).exit_code == 0
    done = await asyncio.to_thread(
        _run, url, f"axon-storage export - | axon-storage import - --json --url {shlex.quote(other)}"
    )
    assert (done.returncode, json.loads(done.stdout)["tenants"]) == (0, 2)
    assert f"{2 * len(ROW_TYPES)} rows of 2 tenants" in done.stderr.decode()
    assert (await axon("verify", url, other)).exit_code == 0


async def test_only_the_export_goes_to_the_standard_output(
    axon: Axon, filled: SqlRepository, url: str, tmp_path: Path
) -> None:
    del filled
    file = f"{tmp_path}/rows.jsonl"
    assert (await axon("export", file)).exit_code == 0
    done = await asyncio.to_thread(_run, url, f"diff <(axon-storage export - | {_ROWS}) <({_ROWS} {file})")
    assert (done.returncode, done.stdout) == (0, b"")
    refused = await axon("export", "-", "--json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    closed = await asyncio.to_thread(_run, url, "axon-storage export - | true")
    assert (closed.returncode, closed.stdout) == (1, b"")
    assert b"Traceback" not in closed.stderr


async def test_an_import_that_is_cut_off_stores_nothing(
    axon: Axon, filled: SqlRepository, url: str, other: str
) -> None:
    del filled
    assert (await axon("migrate", "upgrade", url=other)).exit_code == 0
    cut = f"axon-storage export - | head -n 5 | axon-storage import - --url {shlex.quote(other)}"
    done = await asyncio.to_thread(_run, url, cut)
    assert b"the file is truncated" in done.stderr
    assert (done.returncode, await _rows(other, "a")) == (1, 0)


async def test_an_export_to_parquet_makes_a_folder(axon: Axon, filled: SqlRepository, tmp_path: Path) -> None:
    del filled
    out = f"{tmp_path}/out"
    done = await axon("export", out, "--parquet", "--json")
    assert (done.exit_code, json.loads(done.stdout)["tenants"]) == (0, 2)
    assert len(os.listdir(out)) == len(ROW_TYPES)  # noqa: PTH208  # Path.iterdir is refused too
    assert (await axon("export", out, "--parquet")).exit_code == 1  # it exists
    for wrong in ((out, "--parquet", "--force"), ("-", "--parquet")):
        assert (await axon("export", *wrong)).exit_code == 2
