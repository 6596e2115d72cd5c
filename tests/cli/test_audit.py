"""``axon-storage audit``: what it prints, and its exit statuses."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from axon_storage import AuditRow, SqlRepository
from axon_storage.audit import KeptSeal
from axon_storage.model.ids import timestamp_of
from axon_storage.sql.tables import pruning
from axon_storage.testing.pruning import OLD
from axon_storage.testing.samples import sample
from tests.audit.conftest import append, key_files
from tests.cli.conftest import Axon
from tests.pruning import clock_at

TENANT = "acme ☕'"


@pytest.fixture
async def past(repository: SqlRepository) -> SqlRepository:
    return SqlRepository(repository.engine, clock=clock_at(OLD))


async def test_a_seal_is_a_line_to_be_kept_and_verifies_the_audit_log(
    axon: Axon, past: SqlRepository, tmp_path: Path
) -> None:
    await append(past, TENANT, 3)
    await append(past, "z", 2)
    sealed = await axon("audit", "seal")
    assert sealed.exit_code == 0
    assert sealed.stderr == f"tenant '{TENANT}': 3 more entries sealed\ntenant 'z': 2 more entries sealed\n"
    assert [each.tenant for each in KeptSeal.read(sealed.stdout.splitlines())] == [TENANT, "z"]
    kept = tmp_path / "kept.jsonl"
    kept.write_text(sealed.stdout, encoding="utf-8")
    for arguments in ([], [str(kept)], ["--tenant", "z"]):
        verified = await axon("audit", "verify", *arguments)
        assert (verified.exit_code, verified.stderr) == (
            0,
            "verified: every sealed entry is as it was sealed, or was pruned\n",
        )
    assert verified.stdout.splitlines()[0].split()[:3] == ["tenant", "seals", "sealed"]
    assert verified.stdout.splitlines()[1].split()[:2] == ["z", "1"]


async def test_seals_are_read_from_the_standard_input(url: str, axon: Axon, past: SqlRepository) -> None:
    await append(past, TENANT, 3)
    sealed = await axon("audit", "seal")
    command = [sys.executable, "-m", "axon_storage", "audit", "verify", "-", "--url", url, "--json"]
    for kept, status in ((sealed.stdout, 0), (sealed.stdout.replace('"number":1', '"number":2'), 3)):
        done = subprocess.run(  # noqa: ASYNC221  # a test may block
            command, input=kept, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        assert json.loads(done.stdout)["intact"] is (status == 0)


async def test_differences_are_named_and_make_the_status_3(axon: Axon, past: SqlRepository) -> None:
    ids = await append(past, TENANT, 3)
    await axon("audit", "seal")
    async with past.engine.begin() as connection:
        await connection.execute(text("DELETE FROM audit_log WHERE id = :id"), {"id": ids[0].hex})
        await connection.execute(text("UPDATE audit_log SET actor = 'secret' WHERE id = :id"), {"id": ids[1].hex})
    differs = await axon("audit", "verify")
    assert differs.exit_code == 3
    removed, changed, last = differs.stderr.splitlines()
    assert removed.startswith(f"tenant '{TENANT}', entry {ids[0]} of ")
    assert removed.endswith(": removed")
    assert changed.startswith(f"tenant '{TENANT}', entry {ids[1]} of ")
    assert changed.endswith(": changed")
    assert last == "the audit log differs from its seals"
    assert "secret" not in differs.output
    async with past.engine.begin() as connection:  # as if the entries of this hour had been pruned
        before = timestamp_of(ids[0]) + timedelta(hours=1)
        values = {"tenant_id": TENANT, "table_name": "audit_log", "pruned_before": before}
        await connection.execute(insert(pruning), values)
    assert "removed" not in (await axon("audit", "verify")).stderr
    assert "removed" in (await axon("audit", "verify", "--retained-since", "8w")).stderr
    document = json.loads((await axon("audit", "verify", "--json", "--retained-since", "8w")).stdout)
    [tenant] = document["tenants"]
    assert (document["intact"], tenant["difference_count"]) == (False, 2)
    assert [(each["kind"], each["id"]) for each in tenant["differences"]] == [
        ("removed", str(ids[0])),
        ("changed", str(ids[1])),
    ]


async def test_without_entries_or_seals_the_status_is_3(axon: Axon, repository: SqlRepository) -> None:
    await repository.append_audit(sample(AuditRow))  # now: too late to be sealed
    nothing = await axon("audit", "seal")
    assert (nothing.exit_code, nothing.stdout) == (3, "")
    assert nothing.stderr == "there are no audit entries older than 15 minutes: nothing was sealed\n"
    nothing = await axon("audit", "verify")
    assert (nothing.exit_code, nothing.stderr) == (3, "nothing is sealed: nothing was compared\n")
    unknown = await axon("audit", "verify", "--tenant", "nobody")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "there are no seals of tenant 'nobody'" in unknown.stderr


async def test_signatures_are_checked_with_the_public_key(axon: Axon, past: SqlRepository, tmp_path: Path) -> None:
    await append(past, TENANT, 3)
    private, public = key_files(tmp_path, "key")
    sealed = await axon("audit", "seal", "--key", str(private))
    kept = tmp_path / "kept.jsonl"
    kept.write_text(sealed.stdout, encoding="utf-8")
    assert (await axon("audit", "verify", str(kept), "--public-key", str(public))).exit_code == 0
    _private, other = key_files(tmp_path, "other")
    wrong = await axon("audit", "verify", str(kept), "--public-key", str(other))
    assert wrong.exit_code == 3
    assert "seal 1: wrong signature" in wrong.stderr
    assert (await axon("audit", "verify", "--public-key", str(public))).exit_code == 2


async def test_a_file_that_has_no_seals_is_a_failure(axon: Axon, past: SqlRepository, tmp_path: Path) -> None:
    await append(past, TENANT, 3)
    await axon("audit", "seal")
    file = tmp_path / "kept.jsonl"
    for content, message in (("", "there are no seals in"), ("\n{}\n", "line 2: not a seal")):
        file.write_text(content)
        refused = await axon("audit", "verify", str(file))
        assert refused.exit_code == 1
        assert message in refused.stderr
    missing = await axon("audit", "verify", str(tmp_path / "missing"))
    assert (missing.exit_code, "No such file" in missing.stderr) == (1, True)


async def test_ctrl_c_leaves_a_chain_that_the_next_run_continues(url: str, axon: Axon, past: SqlRepository) -> None:
    await past.for_tenant(TENANT).save_many(sample(AuditRow, TENANT) for _ in range(60_000))
    process = subprocess.Popen(  # noqa: ASYNC220  # a test may block
        [sys.executable, "-m", "axon_storage", "audit", "seal"],
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not await _seals(past):
        assert process.poll() is None
        time.sleep(0.01)  # noqa: ASYNC251  # a test may block
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    effect = "the seals that were stored stay; the next run continues"
    assert (process.returncode, stdout, stderr) == (130, "", f"interrupted: {effect}\n")
    seals = await _seals(past)
    assert 0 < seals < 60
    assert (await axon("audit", "verify")).exit_code == 0
    assert (await axon("audit", "seal")).exit_code == 0
    assert await _seals(past) > seals
    assert (await axon("audit", "verify")).exit_code == 0


async def _seals(storage: SqlRepository) -> int:
    async with storage.engine.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM axon_storage_audit_seals"))).scalar_one())
