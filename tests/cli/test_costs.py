"""``axon-storage costs``, and ``traces --flow``."""

import json
import time

import pytest

from axon_storage import CostRow, SqlRepository, TraceRow
from axon_storage.testing.samples import LARGEST, sample
from tests.cli.conftest import Axon, row_of


async def test_costs_are_summed_by_group(axon: Axon, repository: SqlRepository) -> None:
    for flow, backend in (("a", "x"), ("a", "y"), ("b", "x")):
        await repository.record_cost(
            sample(CostRow, flow_name=flow, backend=backend, input_tokens=LARGEST, output_tokens=1, cost_usd=0.5)
        )
    lines = [json.loads(line) for line in (await axon("costs", "--json")).stdout.splitlines()]
    found = {line["flow"]: (line["calls"], line["input_tokens"], line["cost_usd"]) for line in lines}
    assert found == {"a": (2, 2 * LARGEST, 1.0), "b": (1, LARGEST, 0.5)}
    shown = (await axon("costs", "--by", "flow,backend,day")).stdout.splitlines()
    assert shown[0].split() == [
        "flow",
        "backend",
        "day",
        "calls",
        "input",
        "tokens",
        "output",
        "tokens",
        "cost",
        "in",
        "USD",
    ]
    assert len(shown) == 4
    only = (await axon("costs", "--flow", "b", "--by", "backend", "--json")).stdout.splitlines()
    assert [json.loads(line)["calls"] for line in only] == [1]


async def test_a_period_limits_the_costs(axon: Axon, repository: SqlRepository) -> None:
    await repository.record_cost(sample(CostRow))
    assert len((await axon("costs", "--since", "2020-01-01", "--json")).stdout.splitlines()) == 1
    none = await axon("costs", "--until", "2020-01-01")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "tenant 'default' has no such costs\n")


@pytest.mark.parametrize(("age", "found"), [("30d", 1), ("1w", 1), ("3h", 1), ("90m", 0), ("1s", 0)])
async def test_an_age_is_a_time(axon: Axon, repository: SqlRepository, age: str, found: int) -> None:
    now = time.time_ns()
    await SqlRepository(repository.engine, clock=lambda: now - 2 * 3600 * 10**9).record_cost(sample(CostRow))
    assert len((await axon("costs", "--since", age, "--json")).stdout.splitlines()) == found
    assert len((await axon("costs", "--until", age, "--json")).stdout.splitlines()) == 1 - found


async def test_wrong_groups_and_times_are_refused(axon: Axon) -> None:
    for arguments in (
        ["--by", "month"],
        ["--by", "flow,flow"],
        ["--by", "day,hour"],
        ["--since", "yesterday"],
        ["--since", "0d"],
        ["--until", "0001-01-01T00:00+14:00"],
    ):
        assert (await axon("costs", *arguments)).exit_code == 2


async def test_traces_of_one_flow_are_the_newest_first(axon: Axon, repository: SqlRepository) -> None:
    for number in range(6):
        await repository.save_trace(sample(TraceRow, trace_id=number, flow_name=f"f{number % 2}"))
    for command in (["traces"], ["show", "traces"]):
        lines = (await axon(*command, "--flow", "f1", "-n", "2", "--json")).stdout.splitlines()
        assert [row_of(TraceRow, line).trace_id for line in lines] == [5, 3]
