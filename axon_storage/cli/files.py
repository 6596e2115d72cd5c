"""``axon-storage export`` and ``import``: write all rows to files, and read them back."""

import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from axon_storage.cli.options import Json, KeyringFile, Url, Yes, opened
from axon_storage.cli.progress import Bar, bar
from axon_storage.cli.terminal import confirm, fail, note, nothing, printable, run, show_json
from axon_storage.cli.transferred import (
    Tenants,
    document_of,
    reporting,
    require_rows,
    show_counts,
    summary,
    tenant_names,
    tenants_of,
    total,
    transfer_module,
)
from axon_storage.dispatcher import StorageDispatcher

OutFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The file to create; .gz and .zst are compressed. - is the standard output."),
]
InFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A file that export has written. - is the standard input.")
]
Parquet = Annotated[
    bool, typer.Option("--parquet", help="Create a folder with a Parquet file for each table, for analysis.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]

_STREAM = Path("-")

Opening = AbstractAsyncContextManager[StorageDispatcher]


def export(
    file: OutFile,
    url: Url,
    *,
    tenant: Tenants = None,
    parquet: Parquet = False,
    force: Force = False,
    keyring: KeyringFile = None,
    as_json: Json = False,
) -> None:
    """Write every row to a file of JSON lines. All tenants, unless --tenant is given. Status 3 if there is no row.

    With - the lines go to the standard output, and nothing else does. With --parquet FILE is a new folder, whose files
    cannot be imported.
    """
    names, is_stream = tenant_names(tenant), file == _STREAM
    _check_output(file, is_stream=is_stream, parquet=parquet, force=force, as_json=as_json)
    require_rows(url, names, "exported")
    with bar(total(url, names)) as progress:
        output = sys.stdout.buffer if is_stream else file
        work = _export(opened(url, keyring), output, names, progress, "export_parquet" if parquet else "export")
        result = run(work, effect="the rows are not complete" if is_stream else "no file was written")
    if is_stream:
        note(summary(result))
    else:
        _finish(result, as_json=as_json, action="exported")


def _check_output(file: Path, *, is_stream: bool, parquet: bool, force: bool, as_json: bool) -> None:
    if is_stream and as_json:
        raise typer.BadParameter("--json and the rows would both go to the standard output: export to a file")
    if parquet and (is_stream or force):
        raise typer.BadParameter("--parquet creates a folder: give the name of a new one, without --force")
    if file.exists() and not (is_stream or force):
        fail(f"{printable(str(file))} exists: choose another name" + ("" if parquet else ", or use --force"))


def import_file(
    file: InFile, url: Url, *, yes: Yes = False, keyring: KeyringFile = None, as_json: Json = False
) -> None:
    """Store every row of a file that export has written. Rows with the same keys are replaced, after a question.

    With - the file is the standard input, without compression.
    """
    is_stream = file == _STREAM
    if not (is_stream or file.exists()):
        fail(f"there is no file {printable(str(file))}")
    if not yes and (existing := run(tenants_of(url))):
        confirm(f"The database has rows of {len(existing)} tenants. Rows with the same keys are replaced. Continue?")
    with bar() as progress:
        work = _import(opened(url, keyring), sys.stdin.buffer if is_stream else file, progress)
        result = run(work, effect="the rows that were stored stay; run the command again to complete it")
    _finish(result, as_json=as_json, action="imported")


def _finish(result: Any, *, as_json: bool, action: str) -> None:
    if as_json:
        show_json(document_of(result))
    if not result.rows:
        nothing(f"there are no such rows: nothing was {action}")
    if not as_json:
        show_counts(result)


async def _export(opening: Opening, file: Path | IO[bytes], names: list[str] | None, progress: Bar, name: str) -> Any:
    export_rows = getattr(transfer_module(), name)
    async with opening as storage:
        return await export_rows(storage, file, tenants=names, progress=reporting(progress))


async def _import(opening: Opening, file: Path | IO[bytes], progress: Bar) -> Any:
    async with opening as storage:
        return await transfer_module().import_(storage, file, progress=reporting(progress))
