"""``stats``, ``tenants list``, ``show`` and ``traces``."""

import asyncio
import json
import re
from datetime import datetime

import pytest

from axon_storage import AuditRow, CostRow, EventRow, SessionRow, SqlRepository, TraceRow
from axon_storage.cli.terminal import printable
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.testing.samples import LARGEST, sample
from tests.cli.conftest import Axon, row_of
from tests.cli.terminals import run_on_terminal
from tests.databases import SERVERS

SHORT = {TraceRow: "traces", AuditRow: "audit", EventRow: "events", CostRow: "costs"}
HOSTILE = "[red]x[/red] \x1b[2J\u202e\n☕"


@pytest.mark.parametrize("target", SERVERS)
async def test_stats_shows_every_table(axon: Axon, repository: SqlRepository) -> None:
    await repository.save_many(sample(row_type) for row_type in ROW_TYPES)
    shown = await axon("stats")
    assert shown.exit_code == 0
    lines = [line.split()[:2] for line in shown.stdout.splitlines()[2:]]
    assert lines == [[row_type.TABLE, "1"] for row_type in ROW_TYPES]
    assert "all tenants" in shown.stdout
    document = json.loads((await axon("stats", "--json")).stdout)
    assert [table["rows"] for table in document["tables"]] == [1] * len(ROW_TYPES)


async def test_the_tenants_are_listed(axon: Axon, repository: SqlRepository) -> None:
    assert (await axon("tenants", "list")).stderr == "no tenant has rows\n"
    for tenant in ("b", HOSTILE):
        await repository.for_tenant(tenant).save_session(sample(SessionRow, tenant))
    assert (await axon("tenants", "list")).stdout == f"{printable(HOSTILE)}\nb\n"
    assert json.loads((await axon("tenants", "list", "--json")).stdout) == [HOSTILE, "b"]


@pytest.mark.parametrize("row_type", ROW_TYPES)
async def test_show_prints_rows_of_every_table_and_exact_json(
    axon: Axon, repository: SqlRepository, row_type: type[Row]
) -> None:
    for tenant in ("default", "acme"):
        await repository.for_tenant(tenant).save_many([sample(row_type, tenant)])
    shown = await axon("show", row_type.TABLE)
    assert shown.exit_code == 0
    assert len(shown.stdout.splitlines()) == 2
    lines = (await axon("show", row_type.TABLE, "--json", "--tenant", "acme")).stdout.splitlines()
    assert [row_of(row_type, line) for line in lines] == [sample(row_type, "acme")]
    in_environment = await axon("show", row_type.TABLE, "--json", AXON_STORAGE_TENANT="acme")
    assert in_environment.stdout.splitlines() == lines


async def test_rows_that_have_an_id_are_shown_with_it_and_their_time(axon: Axon, repository: SqlRepository) -> None:
    for row_type in (TraceRow, AuditRow, EventRow, CostRow):
        await repository.save_many([sample(row_type)])
        [recorded] = [each async for each in getattr(repository, f"iter_{SHORT[row_type]}")()]
        header, line = (await axon("show", SHORT[row_type])).stdout.splitlines()
        assert header.startswith("time ")
        assert line.startswith(f"{recorded.timestamp:%Y-%m-%d %H:%M:%SZ}  ")
        document = json.loads((await axon("show", SHORT[row_type], "--json")).stdout)
        assert document["id"] == str(recorded.id)
        assert datetime.fromisoformat(document["timestamp"]) == recorded.timestamp


async def test_integers_above_the_precision_of_floats_are_exact(axon: Axon, repository: SqlRepository) -> None:
    await repository.save_trace(sample(TraceRow, trace_id=LARGEST, events=[LARGEST]))
    assert str(LARGEST) in (await axon("traces")).stdout
    assert f'"events":[{LARGEST}]' in (await axon("traces", "--json")).stdout


async def test_limits_and_filters(axon: Axon, repository: SqlRepository) -> None:
    for number in range(30):
        await repository.append_event(sample(EventRow, topic=f"t{number % 2}", source=f"{number}"))
        await repository.save_session(sample(SessionRow, scope=f"{number // 10}", key=f"{number}"))
    assert len((await axon("show", "events", "--json")).stdout.splitlines()) == 20
    lines = (await axon("show", "events", "-n", "3", "--topic", "t1", "--json")).stdout.splitlines()
    assert [row_of(EventRow, line).source for line in lines] == ["29", "27", "25"]
    assert len((await axon("show", "sessions", "--limit", "15", "--json")).stdout.splitlines()) == 15


async def test_text_is_neither_markup_nor_control_characters(axon: Axon, repository: SqlRepository, url: str) -> None:
    await repository.append_event(sample(EventRow, topic=HOSTILE, source="s", payload=HOSTILE))
    piped = (await axon("show", "events")).stdout
    assert printable(HOSTILE) in piped
    assert not re.search("[\x1b\u202e]", piped)
    as_json = (await axon("show", "events", "--json")).stdout
    assert row_of(EventRow, as_json).topic == HOSTILE
    assert not re.search("[\x1b\u202e]", as_json)
    shown = await asyncio.to_thread(run_on_terminal, ["show", "events"], url, columns=120)
    assert printable(HOSTILE) in shown.text
    assert "\x1b[2J" not in shown.raw


async def test_a_narrow_terminal_shows_a_block_for_each_row(axon: Axon, repository: SqlRepository, url: str) -> None:
    del axon
    await repository.save_trace(sample(TraceRow, trace_id=LARGEST, flow_name="f" * 100))
    shown = await asyncio.to_thread(run_on_terminal, ["traces"], url, columns=60)
    assert shown.status == 0
    assert re.search(rf"^trace_id +{LARGEST}", shown.text, re.MULTILINE)
    assert max(len(line) for line in shown.text.splitlines()) <= 60


async def test_no_rows_are_reported_with_the_tenants_that_have_some(axon: Axon, repository: SqlRepository) -> None:
    await repository.save_session(sample(SessionRow))
    shown = await axon("show", "sessions", "--tenant", "acme")
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr == "tenant 'acme' has no such rows in sessions; tenants with rows: default\n"


async def test_wrong_arguments_are_refused_with_status_2(axon: Axon) -> None:
    for arguments in (
        ["show", "nope"],
        ["show", "costs", "--topic", "t"],
        ["show", "events", "--flow", "f"],
        ["show", "events", "--limit", "0"],
        ["show", "events", "--tenant", "x" * 65],
    ):
        refused = await axon(*arguments)
        assert (refused.exit_code, refused.stdout) == (2, ""), arguments


async def test_help_and_errors_are_whole_on_a_narrow_terminal(axon: Axon) -> None:
    described = (await axon("prune", "--help", COLUMNS="40")).stdout
    assert all(f"  --{name} AGE" in described for name in ("traces", "axon-stores", "hibernations"))
    refused = (await axon("show", "nope", COLUMNS="40")).stderr
    assert "there is no table 'nope': use one of traces, sessions, daemons, audit_log, axon_stores" in refused
