"""``axon-storage tenants``: list the tenants, and erase one."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from axon_storage.cli.formats import moment
from axon_storage.cli.options import Json, Url, Yes, dialect_of_url, opened, tenant_of
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

app = typer.Typer(no_args_is_help=True, help="List the tenants of a database, or erase all rows of one.")

Name = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant, with its exact name.")]


_EFFECT = "the rows that were deleted stay deleted; run the command again to delete the rest"


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
def erase(tenant: Name, url: Url, yes: Yes = False, as_json: Json = False) -> None:
    """Delete every row of a tenant, and print a receipt. Asks for the tenant's name first.

    The receipt says what was deleted, and what the command cannot reach. Exits with status 3 if the tenant has no rows.
    """
    tenant = tenant_of(tenant)
    if tenant not in run(_tenants(url)):
        nothing(f"tenant {quoted(tenant)} has no rows")
    if not yes:
        _confirm(tenant)
    receipt = run(_erase(url, tenant), effect=_EFFECT)
    if as_json:
        show_json(receipt)
    else:
        _show_receipt(receipt)
    if receipt["remaining"]:
        fail("the tenant has rows again: another process has written them; run the command again", FAILED)


def _confirm(tenant: str) -> None:
    question = f"All rows of tenant {quoted(tenant)} will be deleted."
    if ask(question, "Type the tenant's name to continue") != tenant:
        fail("that is not the tenant's name: nothing was deleted")


def _show_receipt(receipt: dict[str, Any]) -> None:
    show(f"erased tenant {quoted(receipt['tenant'])}: {receipt['start']} to {receipt['end']}")
    show_table(["table", "rows"], ((name, f"{rows:,}") for name, rows in receipt["rows"].items()))
    show("not reached:")
    for place in receipt["not_reached"]:
        show(f"  {place}")


async def _tenants(url: str) -> list[str]:
    async with opened(url) as storage:
        return await storage.tenant_ids()


async def _erase(url: str, tenant: str) -> dict[str, Any]:
    dialect, start = dialect_of_url(url), datetime.now(UTC)
    async with opened(url) as storage:
        view: Any = storage.for_tenant(tenant)
        rows = await view.erase_tenant()
        remaining = tenant in await storage.tenant_ids()
    return {
        "tenant": tenant,
        "database": dialect.title,
        "start": moment(start),
        "end": moment(datetime.now(UTC)),
        "rows": rows,
        "remaining": remaining,
        "not_reached": ["backups", "replicas that lag behind, and logs of the server", "exports", *dialect.unerased],
    }
