"""``axon-storage copy``, ``verify``, ``export`` and ``import``: move all rows between databases and files."""

import sys
from importlib import import_module
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from axon_storage import schema
from axon_storage.cli.options import Json, Url, Yes, dialect_of_url, missing_file, opened, require_database, tenant_of
from axon_storage.cli.progress import Bar, bar
from axon_storage.cli.terminal import NOTHING, confirm, fail, note, nothing, printable, run, show, show_json, show_table
from axon_storage.engine.create import create_engine
from axon_storage.engine.url import parse_url
from axon_storage.repository import SqlRepository
from axon_storage.schema.revisions import is_older

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="The database to read, as scheme://user:password@host/name.")
]
Target = Annotated[str, typer.Argument(metavar="TARGET", help="The database to write.")]
Other = Annotated[str, typer.Argument(metavar="TARGET", help="The database to compare with.")]
OutFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The file to create; .gz and .zst are compressed. - is the standard output."),
]
InFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A file that export has written. - is the standard input.")
]
Tenants = Annotated[list[str] | None, typer.Option("--tenant", help="Only this tenant; may be repeated. Default: all.")]
Verify = Annotated[bool, typer.Option("--verify/--no-verify", help="Compare the two databases afterwards.")]
DeleteExtra = Annotated[
    bool, typer.Option("--delete-extra", help="Delete the rows of the copied tenants that exist only in the target.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]

_STREAM = Path("-")


def copy(
    source: Source,
    target: Target,
    *,
    tenant: Tenants = None,
    delete_extra: DeleteExtra = False,
    verify: Verify = True,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Copy every row to another database, of any kind, and compare the two. All tenants, unless --tenant is given.

    Rows that exist in the target are replaced; the command asks first if the target has rows. The schema of a SQLite
    target is created or upgraded; the command says so, and asks before an upgrade. Exits with status 3 if there is
    nothing to copy, or if the databases differ afterwards, as they do if the source is in use.
    """
    names = _tenants(tenant)
    _require_two(source, target)
    _require_rows(source, names, "copied")
    upgrade, existing = run(_state_of(target))
    if not yes:
        _confirm_copy(upgrade, existing, delete_extra=delete_extra)
    if upgrade is not None:
        run(schema.upgrade(target))
        note(f"the target's schema was {_upgrade_text(upgrade)}")
    with bar(_total(source, names)) as progress:
        report = _report(progress)
        result = run(_transfer().copy(source, target, tenants=names, progress=report, delete_extra=delete_extra))
    if not result.rows:
        nothing("the source has no such rows: nothing was copied")
    compared = _compare(source, target, names) if verify else None
    if as_json:
        verified = None if compared is None else compared.is_equal
        show_json(_document(result) | {"deleted": result.deleted, "schema": upgrade, "verified": verified})
    else:
        _show_counts(result)
        if delete_extra:
            show(f"{result.deleted:,} other rows deleted from the target")
    if compared is None:
        note("copied, and not verified")
    else:
        _end(compared)


async def _state_of(target: str) -> tuple[dict[str, str | None] | None, list[str]]:
    """Return which upgrade of its schema a copy to a SQLite file makes, and the tenants with rows in the target."""
    dialect, head = dialect_of_url(target), schema.head()
    if missing_file(target) is not None:
        return {"from": None, "to": head}, []
    found = await schema.current(target)
    if not (dialect.embedded and is_older(found)):
        return None, await _tenants_of(target)
    if found is None:
        return {"from": None, "to": head}, []
    async with SqlRepository(create_engine(target)) as old:
        return {"from": found, "to": head}, await old.tenant_ids()


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


def verify(source: Source, target: Other, *, tenant: Tenants = None, as_json: Json = False) -> None:
    """Compare every value of every row of two databases. Exits with status 3 if they differ."""
    names = _tenants(tenant)
    _require_two(source, target)
    require_database(target)
    _require_tenants(names, {*run(_tenants_of(source)), *run(_tenants_of(target))}, "compared")
    compared = _compare(source, target, names)
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


def export(file: OutFile, url: Url, *, tenant: Tenants = None, force: Force = False, as_json: Json = False) -> None:
    """Write every row to a file of JSON lines. All tenants, unless --tenant is given. Status 3 if there is no row.

    With - the lines go to the standard output, and nothing else does.
    """
    names, is_stream = _tenants(tenant), file == _STREAM
    if is_stream and as_json:
        raise typer.BadParameter("--json and the rows would both go to the standard output: export to a file")
    if file.exists() and not (is_stream or force):
        fail(f"{printable(str(file))} exists: choose another name, or use --force")
    _require_rows(url, names, "exported")
    with bar(_total(url, names)) as progress:
        result = run(_export(url, sys.stdout.buffer if is_stream else file, names, progress))
    if is_stream:
        note(_summary(result))
    else:
        _finish(result, as_json=as_json, action="exported")


def import_file(file: InFile, url: Url, *, yes: Yes = False, as_json: Json = False) -> None:
    """Store every row of a file that export has written. Rows with the same keys are replaced, after a question.

    With - the file is the standard input, without compression.
    """
    is_stream = file == _STREAM
    if not (is_stream or file.exists()):
        fail(f"there is no file {printable(str(file))}")
    if not yes and (existing := run(_tenants_of(url))):
        confirm(f"The database has rows of {len(existing)} tenants. Rows with the same keys are replaced. Continue?")
    with bar() as progress:
        result = run(_import(url, sys.stdin.buffer if is_stream else file, progress))
    _finish(result, as_json=as_json, action="imported")


def _finish(result: Any, *, as_json: bool, action: str) -> None:
    if as_json:
        show_json(_document(result))
    if not result.rows:
        nothing(f"there are no such rows: nothing was {action}")
    if not as_json:
        _show_counts(result)


def _document(result: Any) -> dict[str, Any]:
    return {"tables": dict(result.tables), "tenants": result.tenants}


def _show_counts(result: Any) -> None:
    show_table(["table", "rows"], ((name, f"{rows:,}") for name, rows in result.tables.items()))
    show(_summary(result))


def _summary(result: Any) -> str:
    return f"{result.rows:,} rows of {result.tenants} tenants"


def _compare(source: str, target: str, names: list[str] | None) -> Any:
    with bar(_total(source, names)) as progress:
        return run(_transfer().verify(source, target, tenants=names, progress=_report(progress)))


def _end(compared: Any) -> None:
    """Say whether the databases are equal; exit with status 3 if they are not."""
    if compared.is_equal:
        note("verified: every value is equal")
        return
    for difference in compared.first_differences[:10]:
        place = f"{difference.table}, tenant {difference.tenant!r}, {dict(difference.key)}"
        note(f"{place}: {difference.reason} {', '.join(difference.columns)}".rstrip())
    fail("the databases differ", NOTHING)


def _comparison(each: Any) -> dict[str, Any]:
    names = ("tenant", "table", "source_rows", "target_rows", "differences")
    return {name: getattr(each, name) for name in names} | {"equal": each.is_equal}


def _report(progress: Bar) -> Any:
    return lambda at: progress.update(at.rows, part=(at.tenant, at.table), text=at.table)


def _total(url: str, names: list[str] | None) -> int | None:
    """Return the number of rows, which may be an estimate, if a progress bar shows it; None if it is unknown."""
    return run(_count(url)) if names is None and sys.stderr.isatty() else None


async def _count(url: str) -> int:
    async with opened(url) as storage:
        return sum([table.rows for table in (await storage.stats()).tables])


def _tenants(names: list[str] | None) -> list[str] | None:
    return [tenant_of(name) for name in names] if names else None


def _require_two(source: str, target: str) -> None:
    require_database(source)
    dialect_of_url(target)
    if source == target or _same_file(source, target):
        raise typer.BadParameter("the source and the target are the same")


def _same_file(source: str, target: str) -> bool:
    one, other = (dialect_of_url(url).file_of_url(parse_url(url)) for url in (source, target))
    return one is not None and other is not None and other.exists() and one.samefile(other)


def _transfer() -> Any:
    return import_module("axon_storage.transfer")  # when it is used, so that other commands start faster


def _require_rows(url: str, names: list[str] | None, action: str) -> None:
    """Exit with status 3 if there are no rows to copy or export, before anything is written."""
    require_database(url)
    existing = run(_tenants_of(url))
    _require_tenants(names, set(existing), action)
    if not existing:
        nothing(f"there are no rows: nothing was {action}")


def _require_tenants(names: list[str] | None, existing: set[str], action: str) -> None:
    """Exit with status 3 if one of the tenants has no rows: its name may be wrong."""
    for name in sorted(set(names or ()) - existing):
        nothing(f"there are no rows of tenant {name!r}: nothing was {action}")


async def _tenants_of(url: str) -> list[str]:
    """Return the tenants that have rows; none if the file does not exist yet."""
    if missing_file(url) is not None:
        return []
    async with opened(url) as storage:
        return await storage.tenant_ids()


async def _export(url: str, file: Path | IO[bytes], names: list[str] | None, progress: Bar) -> Any:
    async with opened(url) as storage:
        return await _transfer().export(storage, file, tenants=names, progress=_report(progress))


async def _import(url: str, file: Path | IO[bytes], progress: Bar) -> Any:
    async with opened(url) as storage:
        return await _transfer().import_(storage, file, progress=_report(progress))
