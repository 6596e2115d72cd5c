"""``axon-storage backup``: a backup of a SQLite database while it is in use."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from axon_storage.backup import BackupResult, backup
from axon_storage.cli.formats import counted, size
from axon_storage.cli.options import Json, Url, dialect_of_url
from axon_storage.cli.progress import bar
from axon_storage.cli.terminal import USAGE, fail, printable, run, show, show_json

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file to create.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]


def backup_database(file: File, url: Url, *, force: Force = False, as_json: Json = False) -> None:
    """Copy a SQLite database while it is in use, and check the copy.

    The copy has every row that was committed when the command began. The file gets its name only after its integrity
    and its numbers of rows were checked. For other databases the command names their own tool, and exits with status 2.
    """
    dialect = dialect_of_url(url)
    if dialect.backup_tool:
        fail(f"back up {dialect.title} with its own tools: {dialect.backup_tool}", USAGE)
    if file.exists() and not force:
        fail(f"{printable(str(file))} exists: choose another name, or use --force to replace it")
    with bar() as progress:
        report = partial(progress.update, text="pages")
        found = run(backup(url, file, force=force, progress=report), effect="no file was written")
    if as_json:
        show_json(_document(found))
        return
    counts = f"{counted(len(found.tables), 'table')}, {counted(sum(found.tables.values()), 'row')}"
    show(f"{printable(str(found.file))}: {size(found.bytes)}, {counts}, integrity ok")


def _document(found: BackupResult) -> dict[str, Any]:
    return {"file": str(found.file), "bytes": found.bytes, "tables": dict(found.tables), "integrity": "ok"}
