"""``axon-storage audit``: seal the audit log, and find later changes of it."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from axon_storage.cli.formats import document, moment
from axon_storage.cli.options import Json, KeyringFile, Url, opened, require_database, require_writable
from axon_storage.cli.progress import Bar, bar
from axon_storage.cli.terminal import (
    NOTHING,
    fail,
    note,
    nothing,
    printable,
    quoted,
    run,
    show,
    show_json,
    show_json_text,
    show_table,
)
from axon_storage.cli.times import time_of
from axon_storage.cli.transferred import Tenants, reporting, tenant_names

app = typer.Typer(no_args_is_help=True, help="Seal the audit log, and find later changes of it.")

Key = Annotated[Path | None, typer.Option(help="Sign with the Ed25519 private key in this PEM file.")]
RetainedSince = Annotated[
    str | None,
    typer.Option(help="Entries from this time on cannot have been pruned: ISO 8601, or an age as 30d."),
]
PublicKey = Annotated[Path | None, typer.Option(help="Check the signatures with the public key in this PEM file.")]
Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="The database to read, as scheme://user:password@host/name.")
]
Target = Annotated[str, typer.Argument(metavar="TARGET", help="The database to write.")]
Seals = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="The seals that were kept, one on each line. - is the standard input."),
]

_STREAM = Path("-")
_SHOWN = 100


@app.command("seal")
def seal_entries(url: Url, *, tenant: Tenants = None, key: Key = None, keyring: KeyringFile = None) -> None:
    """Seal the audit entries that are older than 15 minutes. All tenants, unless --tenant is given.

    Prints the last seal of each tenant as a line of JSON: append it to a file that nobody who can write to the database
    can change. Exits with status 3 if there is nothing to seal.
    """
    require_writable(url)
    with bar() as progress:
        work = _seal(url, keyring, tenant_names(tenant), key, progress)
        results = run(work, effect="the seals that were stored stay; the next run continues")
    if not results:
        nothing("there are no audit entries older than 15 minutes: nothing was sealed")
    for result in results:
        show_json_text(result.seal.to_json())
        note(f"tenant {quoted(result.seal.tenant)}: {result.entries:,} more entries sealed")


@app.command("verify")
def verify_entries(
    url: Url,
    file: Seals = None,
    *,
    tenant: Tenants = None,
    retained_since: RetainedSince = None,
    public_key: PublicKey = None,
    keyring: KeyringFile = None,
    as_json: Json = False,
) -> None:
    """Compare the audit log with its seals. Names each entry that was changed, removed, inserted or reordered.

    All tenants, unless --tenant is given. Without FILE, changes by somebody who has computed the seals anew are not
    found. Exits with status 3 if the audit log differs from its seals, or if nothing is sealed.
    """
    if public_key is not None and file is None:
        raise typer.BadParameter("--public-key checks the signatures of a FILE of seals: give the file")
    options = {
        "tenants": tenant_names(tenant),
        "retained_since": time_of(retained_since),
        "verification_key": public_key,
    }
    with bar() as progress:
        result = run(_verify(url, keyring, file, progress, options))
    if as_json:
        show_json({"intact": result.is_intact, "tenants": [document(each) for each in result.tenants]})
    elif result.tenants:
        headers = ["tenant", "seals", "sealed until", "entries", "pruned", "pruned before", "differences"]
        show_table(headers, (_cells(each) for each in result.tenants))
    if not result.tenants:
        nothing("nothing is sealed: nothing was compared")
    _end(result)


@app.command("copy")
def copy_seals(source: Source, target: Target, *, tenant: Tenants = None) -> None:
    """Copy the seals to another database, after axon-storage copy has copied the audit log.

    All tenants, unless --tenant is given. Exits with status 3 if there are no seals.
    """
    require_database(source)
    require_writable(target)
    work = _module().copy_seals(source, target, tenants=tenant_names(tenant))
    copied = run(work, effect="the seals that were copied stay; run the command again to complete it")
    if not copied:
        nothing("the source has no such seals: nothing was copied")
    show(f"{copied:,} seals copied")


def _cells(each: Any) -> list[str]:
    counts = [f"{each.entries:,}", f"{each.pruned:,}", moment(each.pruned_before), f"{each.difference_count:,}"]
    return [each.tenant, f"{each.seals:,}", moment(each.until), *counts]


def _end(result: Any) -> None:
    """Say whether there are differences; exit with status 3 if there are."""
    if result.is_intact:
        note("verified: every sealed entry is as it was sealed, or was pruned")
        return
    for difference in result.differences[:_SHOWN]:
        place = f"seal {difference.seal}"
        if difference.id is not None:
            place = f"entry {difference.id} of {difference.timestamp.isoformat()}"
        note(f"tenant {quoted(difference.tenant)}, {place}: {difference.kind}")
    count = sum(each.difference_count for each in result.tenants)
    if count > _SHOWN:
        note(f"the first {_SHOWN} of {count:,} differences are shown; --json has up to 1,000 of each tenant")
    fail("the audit log differs from its seals", NOTHING)


async def _seal(url: str, keyring: Path | None, names: list[str] | None, key: Path | None, progress: Bar) -> Any:
    async with opened(url, keyring) as storage:
        return await _module().seal(storage, tenants=names, signing_key=key, progress=reporting(progress))


async def _verify(url: str, keyring: Path | None, file: Path | None, progress: Bar, options: dict[str, Any]) -> Any:
    kept = [] if file is None else _kept(file)
    async with opened(url, keyring) as storage:
        return await _module().verify(storage, seals=kept, progress=reporting(progress), **options)


def _kept(file: Path) -> Any:
    read = _module().KeptSeal.read
    if file == _STREAM:
        kept = read(sys.stdin.buffer)
    else:
        with file.open("rb") as lines:
            kept = read(lines)
    if not kept:
        fail(f"there are no seals in {printable(str(file))}")
    return kept


def _module() -> Any:
    """Return ``axon_storage.audit``, which is imported when it is used, so that other commands start faster."""
    return import_module("axon_storage.audit")
