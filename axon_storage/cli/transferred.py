"""What the commands that move rows share: the tenants, the progress and the result."""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer

from axon_storage.cli.options import existing_tenants, missing_file, opened, require_database, tenant_of
from axon_storage.cli.progress import Bar
from axon_storage.cli.terminal import nothing, quoted, run, show, show_table

Tenants = Annotated[list[str] | None, typer.Option("--tenant", help="Only this tenant; may be repeated. Default: all.")]


def tenant_names(names: list[str] | None) -> list[str] | None:
    """Return the tenants of the option ``--tenant``; None if it is not given."""
    return [tenant_of(name) for name in names] if names else None


def require_rows(url: str, names: list[str] | None, action: str) -> None:
    """Exit with status 3 if there are no rows to copy or export, before anything is written."""
    require_database(url)
    existing = run(tenants_of(url, names))
    require_tenants(names, set(existing), action)
    if not existing:
        nothing(f"there are no rows: nothing was {action}")


def require_tenants(names: list[str] | None, existing: set[str], action: str) -> None:
    """Exit with status 3 if one of the tenants has no rows: its name may be wrong."""
    for name in sorted(set(names or ()) - existing):
        nothing(f"there are no rows of tenant {quoted(name)}: nothing was {action}")


async def tenants_of(url: str, names: list[str] | None = None) -> list[str]:
    """Return the tenants, or those of ``names``, that have rows; none if the file does not exist yet."""
    if missing_file(url) is not None:
        return []
    async with opened(url) as storage:
        return await existing_tenants(storage, names)


def document_of(result: Any) -> dict[str, Any]:
    """Return the result of a transfer for ``--json``."""
    return {"tables": dict(result.tables), "tenants": result.tenants}


def show_counts(result: Any) -> None:
    """Write the number of rows of each table to the standard output."""
    show_table(["table", "rows"], ((name, f"{rows:,}") for name, rows in result.tables.items()))
    show(summary(result))


def summary(result: Any) -> str:
    """Return the number of rows and tenants of a result."""
    return f"{result.rows:,} rows of {result.tenants} tenants"


def reporting(progress: Bar) -> Any:
    """Return a callback that shows the progress of a transfer."""
    return lambda at: progress.update(at.rows, part=(at.tenant, at.table), text=at.table)


def total(url: str, names: list[str] | None) -> int | None:
    """Return the number of rows, which may be an estimate, if a progress bar shows it; None if it is unknown."""
    return run(_count(url)) if names is None and sys.stderr.isatty() else None


async def _count(url: str) -> int:
    async with opened(url) as storage:
        return sum([table.rows for table in (await storage.stats()).tables])


def transfer_module() -> Any:
    """Return ``axon_storage.transfer``, which is imported when it is used, so that other commands start faster."""
    return import_module("axon_storage.transfer")
