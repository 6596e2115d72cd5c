"""``axon-storage tenants list`` and ``erase``: the tenants of a database."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from axon_storage.cli.formats import moment
from axon_storage.cli.options import (
    DryRun,
    Json,
    Url,
    Yes,
    dialect_of_url,
    existing_tenants,
    opened,
    require_writable,
    shown_url,
    tenant_of,
)
from axon_storage.cli.terminal import (
    FAILED,
    ask,
    fail,
    note,
    nothing,
    printable,
    quoted,
    run,
    show,
    show_json,
    show_table,
)

app = typer.Typer(no_args_is_help=True, help="List or erase tenants, and move them between databases.")

Name = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant, with its exact name.")]


@app.command("list")
def list_tenants(url: Url, as_json: Json = False) -> None:
    """List the tenants that have rows."""
    found = run(_tenants(url))
    if as_json:
        show_json(found)
        return
    for tenant in found:
        show(printable(tenant))
    if not found:
        note("no tenant has rows")


@app.command()
def erase(tenant: Name, url: Url, yes: Yes = False, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Delete every row of a tenant, and print a receipt. Asks for the tenant's name first.

    The receipt says what was deleted, and what the command cannot reach. Exits with status 3 if the tenant has no rows.
    """
    tenant = tenant_of(tenant)
    if not dry_run:
        require_writable(url)
    if not run(_exists(url, tenant)):
        nothing(f"tenant {quoted(tenant)} has no rows")
    if not yes and not dry_run:
        _confirm(tenant, url)
    effect = "" if dry_run else "the rows that were deleted stay deleted; run the command again to delete the rest"
    receipt = run(_erase(url, tenant, dry_run=dry_run), effect=effect)
    if as_json:
        show_json(receipt)
    else:
        _show_receipt(receipt)
    if receipt["remaining"] and not dry_run:
        fail("the tenant has rows again: another process has written them; run the command again", FAILED)


def _confirm(tenant: str, url: str) -> None:
    question = f"All rows of tenant {quoted(tenant)} in {shown_url(url)} will be deleted."
    if ask(question, "Type the tenant's name to continue") != tenant:
        fail("that is not the tenant's name: nothing was deleted")


def _show_receipt(receipt: dict[str, Any]) -> None:
    done = "would be erased" if receipt["dry_run"] else "erased"
    show(f"tenant {quoted(receipt['tenant'])} {done} from {printable(receipt['database'])}")
    show(f"start {receipt['start']}, end {receipt['end']}")
    counts = {**receipt["rows"], "total": sum(receipt["rows"].values())}
    show_table(["table", "rows"], ((name, f"{rows:,}") for name, rows in counts.items()))
    show("not reached:")
    for place in receipt["not_reached"]:
        show(f"  {place}")


async def _tenants(url: str) -> list[str]:
    async with opened(url) as storage:
        return await storage.tenant_ids()


async def _exists(url: str, tenant: str) -> bool:
    """Return whether a tenant has rows, or records about prune runs."""
    async with opened(url) as storage:
        if await existing_tenants(storage, [tenant]):
            return True
        view: Any = storage.for_tenant(tenant)
        return any((await view.erase_tenant(dry_run=True)).values())


async def _erase(url: str, tenant: str, *, dry_run: bool) -> dict[str, Any]:
    dialect, start = dialect_of_url(url), datetime.now(UTC)
    async with opened(url) as storage:
        view: Any = storage.for_tenant(tenant)
        rows = await view.erase_tenant(dry_run=dry_run)
        remaining = bool(await existing_tenants(storage, [tenant]))
    return {
        "tenant": tenant,
        "database": shown_url(url),
        "dry_run": dry_run,
        "start": moment(start),
        "end": moment(datetime.now(UTC)),
        "rows": rows,
        "remaining": remaining,
        "not_reached": ["backups", "replicas that lag behind, and logs of the server", "exports", *dialect.unerased],
    }
