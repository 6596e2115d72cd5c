"""``axon-storage prune`` and ``axon-storage tenants erase``."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from axon_storage import EventRow, SessionRow, SqlRepository
from axon_storage.model.ids import IdSource
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import sample
from tests.cli.conftest import Axon
from tests.cli.terminals import run_on_terminal
from tests.databases import SERVERS


async def _append(repository: SqlRepository, tenant: str, days: int) -> None:
    nanoseconds = int((datetime.now(UTC) - timedelta(days=days)).timestamp()) * 10**9
    event_id = IdSource(lambda: nanoseconds)()
    await repository.for_tenant(tenant).append_event(sample(EventRow, tenant, source=f"{days}"), id=event_id)


@pytest.fixture
async def events(repository: SqlRepository) -> SqlRepository:
    """Three events of each of two tenants: 5, 50 and 500 days old."""
    for tenant in ("a", "b"):
        for days in (5, 50, 500):
            await _append(repository, tenant, days)
    return repository


async def _ages(repository: SqlRepository, tenant: str) -> list[str]:
    return [event.source for event in await repository.for_tenant(tenant).query_events(None, 10)]


@pytest.mark.parametrize("target", SERVERS)
async def test_old_rows_of_every_tenant_are_deleted(axon: Axon, events: SqlRepository) -> None:
    done = await axon("prune", "--events", "30d", "--json")
    assert done.exit_code == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["tenant"], line["table"], line["rows"]) for line in lines] == [("a", "events", 2), ("b", "events", 2)]
    assert await _ages(events, "a") == await _ages(events, "b") == ["5"]


async def test_only_the_tenant_of_the_option_is_pruned(axon: Axon, events: SqlRepository) -> None:
    done = await axon("prune", "--events", "30d", "--tenant", "a")
    assert done.exit_code == 0
    line, total = done.stdout.splitlines()
    assert re.fullmatch(r"a  events  before \S+ \S+: 2 rows deleted in \d+\.\d s", line)
    assert re.fullmatch(r"total: 2 rows of 1 tenant deleted in \d+\.\d s", total)
    assert (await _ages(events, "a"), await _ages(events, "b")) == (["5"], ["5", "50", "500"])


async def test_the_rows_of_all_tenants_are_added_up(axon: Axon, events: SqlRepository) -> None:
    del events
    lines = (await axon("prune", "--events", "30d", "--costs", "30d")).stdout.splitlines()
    assert lines[4:6] == ["all tenants  events: 4 rows deleted", "all tenants  costs: 0 rows deleted"]
    assert lines[6].startswith("total: 4 rows of 2 tenants deleted in ")


async def test_a_dry_run_counts_and_deletes_nothing(axon: Axon, events: SqlRepository) -> None:
    done = await axon("prune", "--events", "30d", "--tenant", "a", "--dry-run")
    assert re.search(r"^total: 2 rows of 1 tenant would be deleted in \d+\.\d s$", done.stdout, re.MULTILINE)
    assert await _ages(events, "a") == ["5", "50", "500"]


async def test_options_override_variables_and_variables_the_file(
    axon: Axon, events: SqlRepository, tmp_path: Path
) -> None:
    file = tmp_path / "retention.toml"
    file.write_text('events = "100d"\nsessions = "1d"\n')

    async def pruned(*arguments: str, **variables: str) -> dict[str, int]:
        done = await axon("prune", "--tenant", "a", "--dry-run", "--json", *arguments, **variables)
        return {line["table"]: line["rows"] for line in map(json.loads, done.stdout.splitlines())}

    assert await pruned("--policy", f"{file}") == {"events": 1, "sessions": 0}
    assert await pruned(AXON_STORAGE_PRUNE_POLICY=f"{file}", AXON_STORAGE_PRUNE_EVENTS="10d") == {
        "events": 2,
        "sessions": 0,
    }
    assert await pruned("--events", "1d", AXON_STORAGE_PRUNE_EVENTS="10d") == {"events": 3}
    del events


async def test_without_a_valid_policy_nothing_is_deleted(axon: Axon, events: SqlRepository, tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    for text in ("events = 30", 'nothing = "1d"', "events =", 'events = "soon"', ""):
        bad.write_text(text)
        assert (await axon("prune", "--policy", f"{bad}")).exit_code == 2, text
    for arguments in ([], ["--events", "0d"], ["--events", "30"], ["--policy", f"{tmp_path}/missing.toml"]):
        assert (await axon("prune", *arguments)).exit_code == 2, arguments
    assert len(await _ages(events, "a")) == 3


async def test_a_wrong_line_of_a_policy_is_named(axon: Axon, tmp_path: Path) -> None:
    for line, message in (
        ("evnts = '1d'", "policy.toml: there is no table 'evnts': use traces, events, audit"),
        ("events = 30", "policy.toml: events: the age must be a text such as '30d'"),
        ("events = 'soon'", "events: 'soon' is not an age such as 45s, 30m, 12h, 30d or 8w"),
    ):
        (tmp_path / "policy.toml").write_text(line)
        refused = await axon("prune", "--policy", f"{tmp_path}/policy.toml", COLUMNS="300")
        assert refused.exit_code == 2
        assert message in refused.stderr


async def test_a_table_that_fails_makes_the_status_1_and_the_others_are_pruned(
    axon: Axon, events: SqlRepository
) -> None:
    before = SqlRepository(events.engine, clock=lambda: 10**18)  # 2001
    await before.for_tenant("a").save_session(sample(SessionRow, "a"))
    refusal = "CREATE TRIGGER refusal BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'no'); END"
    async with events.engine.begin() as connection:
        await connection.exec_driver_sql(refusal)
    try:
        done = await axon("prune", "--events", "30d", "--sessions", "30d", "--tenant", "a")
    finally:
        async with events.engine.begin() as connection:
            await connection.exec_driver_sql("DROP TRIGGER refusal")
    assert done.exit_code == 1
    assert re.search(r"^a  sessions  before \S+ \S+: failed: ", done.stdout, re.MULTILINE)
    assert re.search(r"^a  events  before \S+ \S+: 2 rows deleted in \d+\.\d s$", done.stdout, re.MULTILINE)
    assert done.stderr == "skipped or failed: 1 table\n"
    assert await _ages(events, "a") == ["5"]


async def test_a_tenant_is_erased_with_a_receipt(axon: Axon, repository: SqlRepository, url: str) -> None:
    for tenant in ("a", "b"):
        await repository.for_tenant(tenant).save_many(sample(row_type, tenant) for row_type in ROW_TYPES)
    done = await axon("tenants", "erase", "a", "--yes", "--json")
    assert done.exit_code == 0
    receipt = json.loads(done.stdout)
    assert {receipt["rows"][row_type.TABLE] for row_type in ROW_TYPES} == {1}
    assert (receipt["tenant"], receipt["database"], receipt["remaining"]) == ("a", url, False)
    assert datetime.fromisoformat(receipt["start"]) <= datetime.fromisoformat(receipt["end"]) <= datetime.now(UTC)
    assert any("VACUUM" in place for place in receipt["not_reached"])
    assert await repository.tenant_ids() == ["b"]
    assert (await axon("tenants", "erase", "a", "--yes")).exit_code == 3


@pytest.mark.parametrize(("answer", "status", "left"), [("b", 1, ["a"]), ("a", 0, [])])
async def test_erasing_asks_for_the_name(
    axon: Axon, repository: SqlRepository, url: str, answer: str, status: int, left: list[str]
) -> None:
    await repository.for_tenant("a").save_session(sample(SessionRow, "a"))
    refused = await axon("tenants", "erase", "a")  # nobody can answer
    assert refused.exit_code == 1
    asked = await asyncio.to_thread(run_on_terminal, ["tenants", "erase", "a"], url, columns=80, answer=answer)
    assert asked.status == status
    assert await repository.tenant_ids() == left


async def test_a_dry_run_of_an_erasure_counts(axon: Axon, repository: SqlRepository, url: str) -> None:
    await repository.for_tenant("a").save_session(sample(SessionRow, "a"))
    counted = await axon("tenants", "erase", "a", "--dry-run")
    assert (counted.exit_code, counted.stderr) == (0, "")
    assert counted.stdout.startswith(f"tenant 'a' would be erased from {url}\nstart ")
    assert re.search(r"^total +1$", counted.stdout, re.MULTILINE)
    assert await repository.tenant_ids() == ["a"]


async def test_records_about_prune_runs_are_erased_after_the_question(axon: Axon, events: SqlRepository) -> None:
    assert (await axon("prune", "--events", "1s", "--tenant", "a")).exit_code == 0
    assert await events.tenant_ids() == ["b"]
    assert (await axon("tenants", "erase", "a")).exit_code == 1  # nobody can answer
    for arguments in (["--dry-run"], ["--yes"]):
        done = await axon("tenants", "erase", "a", *arguments, "--json")
        assert (done.exit_code, json.loads(done.stdout)["rows"]["axon_storage_pruning"]) == (0, 1)
    assert (await axon("tenants", "erase", "a", "--dry-run")).exit_code == 3
