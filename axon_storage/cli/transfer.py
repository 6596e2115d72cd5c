"""``axon-storage copy`` and ``verify``: copy all rows to another database, and compare two databases."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from axon_storage import schema
from axon_storage.cli.options import (
    Json,
    Yes,
    dialect_of_url,
    existing_tenants,
    keyring_of,
    missing_file,
    require_database,
)
from axon_storage.cli.progress import bar
from axon_storage.cli.terminal import NOTHING, confirm, fail, note, nothing, quoted, run, show, show_json, show_table
from axon_storage.cli.transferred import (
    Tenants,
    document_of,
    reporting,
    require_rows,
    require_tenants,
    show_counts,
    tenant_names,
    tenants_of,
    total,
    transfer_module,
)
from axon_storage.dispatcher import open_storage
from axon_storage.engine.create import create_engine
from axon_storage.engine.url import parse_url
from axon_storage.repository import SqlRepository
from axon_storage.schema.revisions import is_older

Keyrings = tuple[Path | None, Path | None]

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="The database to read, as scheme://user:password@host/name.")
]
Target = Annotated[str, typer.Argument(metavar="TARGET", help="The database to write.")]
Other = Annotated[str, typer.Argument(metavar="TARGET", help="The database to compare with.")]
SourceKeyring = Annotated[Path | None, typer.Option(help="The file with the keys of the source's documents.")]
TargetKeyring = Annotated[Path | None, typer.Option(help="The file with the keys of the target's documents.")]
Verify = Annotated[bool, typer.Option("--verify/--no-verify", help="Compare the two databases afterwards.")]
DeleteExtra = Annotated[
    bool, typer.Option("--delete-extra", help="Delete the rows of the copied tenants that exist only in the target.")
]


def copy(
    source: Source,
    target: Target,
    *,
    tenant: Tenants = None,
    delete_extra: DeleteExtra = False,
    verify: Verify = True,
    yes: Yes = False,
    source_keyring: SourceKeyring = None,
    target_keyring: TargetKeyring = None,
    as_json: Json = False,
) -> None:
    """Copy every row to another database, of any kind, and compare the two. All tenants, unless --tenant is given.

    Rows that exist in the target are replaced; the command asks first if the target has rows. The schema of a SQLite
    target is created or upgraded; the command says so, and asks before an upgrade. Exits with status 3 if there is
    nothing to copy, or if the databases differ afterwards, as they do if the source is in use. Without keyrings
    encrypted documents are copied as they are stored.
    """
    names, keyrings = tenant_names(tenant), (source_keyring, target_keyring)
    _require_two(source, target)
    require_rows(source, names, "copied")
    upgrade, existing = run(_state_of(target, names))
    if not yes:
        _confirm_copy(upgrade, existing, delete_extra=delete_extra)
    if upgrade is not None:
        run(schema.upgrade(target), effect="the next upgrade completes it")
        note(f"the target's schema was {_upgrade_text(upgrade)}")
    with bar(total(source, names)) as progress:
        report = reporting(progress)
        options = {"tenants": names, "progress": report, "delete_extra": delete_extra}
        work = _between("copy", (source, target), keyrings, options)
        result = run(work, effect="the rows that were copied or deleted stay so; run the command again to complete it")
    if not result.rows:
        nothing("the source has no such rows: nothing was copied")
    compared = _compare((source, target), names, keyrings) if verify else None
    if as_json:
        verified = None if compared is None else compared.is_equal
        show_json(document_of(result) | {"deleted": result.deleted, "schema": upgrade, "verified": verified})
    else:
        show_counts(result)
        if delete_extra:
            show(f"{result.deleted:,} other rows deleted from the target")
    if compared is None:
        note("copied, and not verified")
    else:
        _end(compared)


async def _state_of(target: str, names: list[str] | None) -> tuple[dict[str, str | None] | None, list[str]]:
    """Return which upgrade of its schema a copy to a SQLite file makes, and the tenants with rows in the target."""
    dialect, head = dialect_of_url(target), schema.head()
    if missing_file(target) is not None:
        return {"from": None, "to": head}, []
    found = await schema.current(target)
    if not (dialect.embedded and is_older(found)):
        return None, await tenants_of(target, names)
    if found is None:
        return {"from": None, "to": head}, []
    async with SqlRepository(create_engine(target)) as old:
        return {"from": found, "to": head}, await existing_tenants(old, names)


def _confirm_copy(upgrade: dict[str, str | None] | None, existing: list[str], *, delete_extra: bool) -> None:
    parts = []
    if upgrade is not None and upgrade["from"] is not None:
        parts.append(f"The target's schema is {_upgrade_text(upgrade)}.")
    if existing:
        parts.append(f"The target has rows of {len(existing)} tenants. Rows with the same keys are replaced.")
    if existing and delete_extra:
        parts.append("Other rows of the copied tenants are deleted.")
    if parts:
        confirm(" ".join([*parts, "Continue?"]))


def _upgrade_text(upgrade: dict[str, str | None]) -> str:
    before, after = upgrade["from"], upgrade["to"]
    return f"created at revision {after}" if before is None else f"upgraded from revision {before} to {after}"


def verify(
    source: Source,
    target: Other,
    *,
    tenant: Tenants = None,
    source_keyring: SourceKeyring = None,
    target_keyring: TargetKeyring = None,
    as_json: Json = False,
) -> None:
    """Compare every value of every row of two databases. Exits with status 3 if they differ.

    Without keyrings encrypted documents are compared as they are stored.
    """
    names = tenant_names(tenant)
    _require_two(source, target)
    require_database(target)
    require_tenants(names, {*run(tenants_of(source, names)), *run(tenants_of(target, names))}, "compared")
    compared = _compare((source, target), names, (source_keyring, target_keyring))
    if as_json:
        show_json({"equal": compared.is_equal, "comparisons": [_comparison(each) for each in compared.comparisons]})
    elif compared.comparisons:
        show_table(
            ["tenant", "table", "source", "target", "differences"],
            (
                [each.tenant, each.table, f"{each.source_rows:,}", f"{each.target_rows:,}", f"{each.differences:,}"]
                for each in compared.comparisons
            ),
        )
    if not compared.comparisons:
        nothing("neither database has such rows: nothing was compared")
    _end(compared)


def _compare(urls: tuple[str, str], names: list[str] | None, keyrings: Keyrings) -> Any:
    with bar(total(urls[0], names)) as progress:
        return run(_between("verify", urls, keyrings, {"tenants": names, "progress": reporting(progress)}))


async def _between(function: str, urls: tuple[str, str], keyrings: Keyrings, options: dict[str, Any]) -> Any:
    """Call a function of ``axon_storage.transfer`` with two databases, which are opened if they have a keyring."""
    async with AsyncExitStack() as stack:
        sides: list[Any] = list(urls)
        for number, file in enumerate(keyrings):
            if (encryption := keyring_of(file)) is not None:
                # only the target is upgraded, as for a URL
                migrate = None if (number, function) == (1, "copy") else False
                opening = open_storage(urls[number], migrate=migrate, encryption=encryption)
                sides[number] = await stack.enter_async_context(opening)
        return await getattr(transfer_module(), function)(*sides, **options)


def _end(compared: Any) -> None:
    """Say whether the databases are equal; exit with status 3 if they are not."""
    if compared.is_equal:
        note("verified: every value is equal")
        return
    for difference in compared.first_differences[:10]:
        key = ", ".join(f"{name} {quoted(str(value))}" for name, value in difference.key.items())
        place = f"{difference.table}, tenant {quoted(difference.tenant)}, {key}"
        note(f"{place}: {difference.reason} {', '.join(difference.columns)}".rstrip())
    fail("the databases differ", NOTHING)


def _comparison(each: Any) -> dict[str, Any]:
    names = ("tenant", "table", "source_rows", "target_rows", "differences")
    return {name: getattr(each, name) for name in names} | {"equal": each.is_equal}


def _require_two(source: str, target: str) -> None:
    require_database(source)
    dialect_of_url(target)
    if source == target or _same_file(source, target):
        raise typer.BadParameter("the source and the target are the same")


def _same_file(source: str, target: str) -> bool:
    one, other = (dialect_of_url(url).file_of_url(parse_url(url)) for url in (source, target))
    return one is not None and other is not None and other.exists() and one.samefile(other)
