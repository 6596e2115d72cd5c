"""``axon-storage costs``: the number, tokens and price of model calls, by group."""

from typing import Annotated, Any

import typer

from axon_storage.cli.formats import document, moment
from axon_storage.cli.options import DEFAULT_TENANT, Flow, Json, Tenant, Url, opened, tenant_of
from axon_storage.cli.terminal import note, quoted, run, show_json, show_table
from axon_storage.cli.times import time_of

By = Annotated[str, typer.Option("--by", help="Groups, separated by commas: flow, backend, and day or hour.")]
Since = Annotated[str | None, typer.Option("--since", help="Only costs from this time on: ISO 8601, or an age as 30d.")]
Until = Annotated[str | None, typer.Option("--until", help="Only costs before this time, as --since.")]

_GROUPS = ("flow", "backend", "day", "hour")


def costs(
    url: Url,
    *,
    by: By = "flow",
    tenant: Tenant = DEFAULT_TENANT,
    flow: Flow = None,
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Show the number, the tokens and the cost of model calls.

    They are those of one tenant, by flow, backend, day or hour.
    """
    groups = [group.strip() for group in by.split(",") if group.strip()]
    if unknown := [group for group in groups if group not in _GROUPS]:
        raise typer.BadParameter(f"--by {quoted(unknown[0])}: the groups are {', '.join(_GROUPS)}")
    if len(set(groups)) < len(groups) or {"day", "hour"} <= set(groups):
        raise typer.BadParameter("--by has a name twice, or both day and hour")
    period = {"flow": flow, "since": time_of(since), "until": time_of(until)}
    found = run(_summaries(url, tenant_of(tenant), groups, period))
    if as_json:
        for summary in found:
            show_json(document(summary))
    elif found:
        headers = [*groups, "calls", "input tokens", "output tokens", "cost in USD"]
        show_table(headers, (_cells(each, groups) for each in found))
    if not found:
        note(f"tenant {quoted(tenant)} has no such costs")


def _cells(summary: Any, groups: list[str]) -> list[str]:
    keys = {"flow": summary.flow, "backend": summary.backend, "day": moment(summary.period)[:10]}
    keys["hour"] = moment(summary.period)
    counts = [f"{count:,}" for count in (summary.calls, summary.input_tokens, summary.output_tokens)]
    return [*(str(keys[group]) for group in groups), *counts, f"{summary.cost_usd:,.6f}"]


async def _summaries(url: str, tenant: str, groups: list[str], period: dict[str, Any]) -> list[Any]:
    async with opened(url) as storage:
        view: Any = storage.for_tenant(tenant)
        return list(await view.summarize_costs(by=tuple(groups), **period))
