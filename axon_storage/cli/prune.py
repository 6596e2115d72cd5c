"""``axon-storage prune``: delete rows that are older than a retention policy allows."""

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from axon_storage.cli.formats import counted, moment
from axon_storage.cli.options import DryRun, Json, Url, existing_tenants, opened, require_writable, tenant_of
from axon_storage.cli.policy import policy_of
from axon_storage.cli.terminal import FAILED, fail, nothing, printable, quoted, run, show, show_json
from axon_storage.errors import StorageError

PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", envvar="AXON_STORAGE_PRUNE_POLICY", help="A TOML file of lines such as events = '30d'."),
]
Pause = Annotated[
    float, typer.Option(min=0.0, envvar="AXON_STORAGE_PRUNE_PAUSE", help="Seconds to wait after each batch of rows.")
]
OneTenant = Annotated[
    str | None,
    typer.Option("--tenant", show_default="all tenants", help="The tenant to prune."),
]


_ROWS = {
    "audit": "audit entries",
    "cache": "cached results",
    "hibernations": "hibernated agents",
    "sessions": "session entries, even those that a client in axon_storage.integrations needs, that are",
}
_EFFECT = "the rows that were deleted stay deleted; the next run continues"


def _age(table: str) -> Any:
    name = table.replace("_", "-")
    text = f"Delete {_ROWS.get(table, name.replace('-', ' '))} older than this, such as 30d."
    return typer.Option(f"--{name}", envvar=f"AXON_STORAGE_PRUNE_{table.upper()}", metavar="AGE", help=text)


def prune(
    url: Url,
    *,
    traces: Annotated[str | None, _age("traces")] = None,
    events: Annotated[str | None, _age("events")] = None,
    audit: Annotated[str | None, _age("audit")] = None,
    costs: Annotated[str | None, _age("costs")] = None,
    sessions: Annotated[str | None, _age("sessions")] = None,
    daemons: Annotated[str | None, _age("daemons")] = None,
    axon_stores: Annotated[str | None, _age("axon_stores")] = None,
    dataspaces: Annotated[str | None, _age("dataspaces")] = None,
    hibernations: Annotated[str | None, _age("hibernations")] = None,
    cache: Annotated[str | None, _age("cache")] = None,
    schedules: Annotated[str | None, _age("schedules")] = None,
    policy: PolicyFile = None,
    tenant: OneTenant = None,
    pause: Pause = 0.0,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Delete old rows by a retention policy.

    The policy comes from options, environment variables or a file. A line is printed for each table of each tenant,
    and at the end the sums. Without a policy nothing is deleted, and the status is 2. It is 1 if any table of any
    tenant was skipped or failed; the others are pruned nevertheless. It is 0 if all were pruned, even if no row was
    old enough, and 3 if no tenant has rows.
    """
    given = {
        "traces": traces, "events": events, "audit": audit, "costs": costs, "sessions": sessions, "daemons": daemons,
        "axon_stores": axon_stores, "dataspaces": dataspaces, "hibernations": hibernations, "cache": cache,
        "schedules": schedules,
    }  # fmt: skip
    ages = policy_of(policy, given)
    names = None if tenant is None else [tenant_of(tenant)]
    if not dry_run:
        require_writable(url)
    failed = run(
        _prune(url, names, ages, pause=pause, dry_run=dry_run, as_json=as_json), effect="" if dry_run else _EFFECT
    )
    if failed:
        fail(f"skipped or failed: {counted(failed, 'table')}", FAILED)


async def _prune(
    url: str, names: list[str] | None, ages: Mapping[str, timedelta], *, pause: float, dry_run: bool, as_json: bool
) -> int:
    """Prune each table of each tenant, print the results and their sums, and return how many failed."""
    now, start, results = datetime.now(UTC), time.monotonic(), []
    async with opened(url) as storage:
        tenants = await existing_tenants(storage, names)
        for tenant in tenants:
            view: Any = storage.for_tenant(tenant)
            for table, age in ages.items():
                result = {"tenant": tenant, "table": table, "before": moment(now - age), "dry_run": dry_run}
                result |= await _prune_table(view, table, now - age, pause=pause, dry_run=dry_run)
                results.append(result)
                _print(result, as_json=as_json)
        if not tenants:
            nothing("no tenant has rows" if names is None else f"tenant {quoted(names[0])} has no rows")
    if not as_json:
        _print_sums(results, len(tenants), time.monotonic() - start, _done(dry_run=dry_run))
    return sum(["error" in result for result in results])


async def _prune_table(view: Any, table: str, before: datetime, *, pause: float, dry_run: bool) -> dict[str, Any]:
    start = time.monotonic()
    try:
        rows = await getattr(view, f"prune_{table}")(before, dry_run=dry_run, pause=pause)
    except StorageError as error:
        return {"rows": None, "error": str(error)}
    return {"rows": rows, "seconds": round(time.monotonic() - start, 3)}


def _print(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(result)
        return
    if "error" in result:
        outcome = f"failed: {result['error']}"
    else:
        outcome = f"{counted(result['rows'], 'row')} {_done(dry_run=result['dry_run'])} in {result['seconds']:.1f} s"
    show(printable(f"{result['tenant']}  {result['table']}  before {result['before']}: {outcome}"))


def _print_sums(results: list[dict[str, Any]], tenants: int, seconds: float, done: str) -> None:
    """Print the sum of each table, if there are several tenants, and that of all tables."""
    sums: Counter[str] = Counter()
    for result in results:
        sums[result["table"]] += result["rows"] or 0
    if tenants > 1:
        for table, rows in sums.items():
            show(f"all tenants  {table}: {counted(rows, 'row')} {done}")
    total = f"{counted(sums.total(), 'row')} of {counted(tenants, 'tenant')}"
    show(f"total: {total} {done} in {seconds:.1f} s")


def _done(*, dry_run: bool) -> str:
    return "would be deleted" if dry_run else "deleted"
