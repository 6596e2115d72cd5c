"""``axon-storage tenants where`` and ``tenants move``: the databases of a router's tenants."""

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from axon_storage.cli.formats import document
from axon_storage.cli.options import (
    Json,
    KeyringFile,
    Url,
    dialect_of_url,
    opened,
    require_writable,
    tenant_of,
)
from axon_storage.cli.progress import Bar, bar
from axon_storage.cli.terminal import fail, note, nothing, printable, quoted, run, show, show_json, show_table
from axon_storage.cli.transferred import reporting
from axon_storage.engine.url import hidden
from axon_storage.routing import Placement, TenantCatalogue
from axon_storage.routing.databases import Databases, of_template

_FIELD, _OTHERS = "{tenant}", "*"
_AFTER_A_FAILURE = (
    "run the command again to complete the move or to go back; writes go on, if the home database could be reached"
)

Name = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant, with its exact name.")]
Which = Annotated[str | None, typer.Argument(metavar="[TENANT]", help="Only this tenant. Default: all.")]
To = Annotated[str, typer.Option("--to", help="The name of the database to move to.")]
DatabasesOption = Annotated[
    str,
    typer.Option(
        "--databases",
        envvar="AXON_STORAGE_DATABASES",
        help="A TOML file with the URL of each name, or one URL that contains {tenant}.",
    ),
]


def where(url: Url, tenant: Which = None, *, keyring: KeyringFile = None, as_json: Json = False) -> None:
    """Say in which database a tenant is, or each tenant. --url is the home database.

    Exits with status 3 if the tenant, or no tenant, is in the catalogue.
    """
    name = None if tenant is None else tenant_of(tenant)
    found = run(_placements(url, keyring, name))
    if not found:
        nothing("the catalogue has no tenants" if name is None else f"the catalogue has no tenant {quoted(name)}")
    if as_json:
        for placement in found:
            show_json(document(placement))
        return
    cells = ([each.tenant, each.database, each.state, each.other] for each in found)
    show_table(["tenant", "database", "state", "rows also in"], cells)


def move(
    tenant: Name,
    url: Url,
    to: To,
    databases: DatabasesOption,
    *,
    keyring: KeyringFile = None,
    as_json: Json = False,
) -> None:
    """Move a tenant to another database, while its calls go on. --url is the home database.

    The writes of the tenant wait for a short time. A move that was interrupted or killed goes on when the command is
    run again. With the name of the database in which the tenant is, it goes back. Exits with status 3 if the tenant is
    in that database already.
    """
    tenant, urls = tenant_of(tenant), _databases(databases)
    require_writable(url)
    with bar() as progress:
        work = _move((url, urls), tenant, to, keyring, progress)
        result = run(work, effect=_AFTER_A_FAILURE)
    if as_json:
        show_json(document(result))
        return
    show(f"tenant {quoted(tenant)} is in {quoted(result.database)}")
    show(f"{result.copied:,} rows copied, {result.deleted:,} rows deleted in the other database")
    show(f"its writes waited for {result.stopped_seconds:.1f} s")


async def _placements(url: str, keyring: Path | None, tenant: str | None) -> list[Placement]:
    async with opened(url, keyring) as storage:
        catalogue = TenantCatalogue(storage)
        if tenant is None:
            return await catalogue.list()
        found = await catalogue.get(tenant)
        return [] if found is None else [found]


async def _move(urls: tuple[str, Databases], tenant: str, to: str, keyring: Path | None, progress: Bar) -> Any:
    url, databases = urls
    async with opened(url, keyring) as home:
        placement = await TenantCatalogue(home).get(tenant)
        if placement == Placement(tenant, to, placement.version if placement else 0):
            nothing(f"tenant {quoted(tenant)} is in {quoted(to)} already")
        options = {"progress": reporting(progress), "step": lambda step: note(f"{step} …")}
        return await import_module("axon_storage.moving").move(home, databases, tenant, to, **options)


def _databases(given: str) -> Databases:
    """Return the databases of a TOML file or a URL; exit with status 1 or 2 if it cannot be used."""
    if _FIELD in given:
        return hidden(given)
    try:
        urls = tomllib.loads(Path(given).read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"--databases: {printable(given)}: {error.strerror}")
    except ValueError:
        fail(f'--databases: {printable(given)} is not TOML: it has a line such as eu-1 = "URL" for each database')
    for name, url in urls.items():
        if not isinstance(url, str):
            fail(f"--databases: {printable(name)} in {printable(given)} is not a URL in quotation marks")
        dialect_of_url(url.replace(_FIELD, "tenant"))
    if (template := urls.pop(_OTHERS, None)) is None:
        return urls
    return lambda name: urls.get(name) or of_template(str(template), name)
