"""The options that several commands share, and opening the storage that they name."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from axon_storage.backend import StorageBackend
from axon_storage.backend.prune_run import has_rows
from axon_storage.cli.terminal import USAGE, fail, printable, quoted
from axon_storage.dialects import Dialect, UnsupportedServer, of_scheme
from axon_storage.dispatcher import StorageDispatcher, open_storage
from axon_storage.encryption import Keyring
from axon_storage.encryption.files import read_keyring
from axon_storage.engine.url import parse_url
from axon_storage.errors import StorageError
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.tenancy import DEFAULT_TENANT, check_tenant

Url = Annotated[
    str,
    typer.Option(envvar="DATABASE_URL", show_default=False, help="The database, as scheme://user:password@host/name."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON: one document, or one line for each row.")]
Tenant = Annotated[str, typer.Option(envvar="AXON_STORAGE_TENANT", help="The tenant whose rows are used.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="The most rows to print.")]
Flow = Annotated[str | None, typer.Option("--flow", help="Only the rows of this flow.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Only the events of this topic.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; change nothing.")]

KeyringFile = Annotated[
    Path | None,
    typer.Option(
        "--keyring", envvar="AXON_STORAGE_KEYRING", show_default=False, help="The file with the keys of the documents."
    ),
]

_FORM = "The form of a database URL is scheme://user:password@host/name or sqlite:///file"
_SHORT_NAMES = {
    "audit": "audit_log",
    "stores": "axon_stores",
    "events": "event_history",
    "cache": "execution_cache",
    "costs": "cost_tracking",
}
TABLES: dict[str, type[Row]] = {row_type.TABLE: row_type for row_type in ROW_TYPES}


def row_type_of(table: str) -> type[Row]:
    """Return the row type of a table's name or short name; exit with status 2 for another name."""
    row_type = TABLES.get(_SHORT_NAMES.get(table, table))
    if row_type is None:
        names = ", ".join([*TABLES, *_SHORT_NAMES])
        raise typer.BadParameter(f"there is no table {quoted(table)}: use one of {names}")
    return row_type


def dialect_of_url(url: str) -> Dialect:
    """Return the dialect of a URL; exit with status 2 if the URL names no database."""
    if not url or url.startswith("memory:"):
        fail(f"this URL names no database, and nothing is stored there. {_FORM}", USAGE)
    try:
        parsed = parse_url(url)
        dialect = of_scheme(parsed.drivername)
        dialect.check_url(parsed)
    except (StorageError, UnsupportedServer, ValueError) as refused:
        message = refused.message if isinstance(refused, StorageError) else str(refused)
        fail(message if "user:password" in message else f"{message}. {_FORM}", USAGE)
    return dialect


def require_database(url: str) -> None:
    """Exit with status 1 if the URL names a file that does not exist; opening it would create an empty database."""
    if (missing := missing_file(url)) is not None:
        remedy = "correct the URL, or create it with `axon-storage migrate upgrade`"
        fail(f"there is no file {printable(missing)}: {remedy}")


def require_writable(url: str) -> None:
    """Exit with status 1 if the URL names a file that cannot be written."""
    require_database(url)
    if (file := dialect_of_url(url).unwritable_file(parse_url(url))) is not None:
        remedy = "change the permissions of the file and its folder, or the URL's mode"
        fail(f"{printable(file)} cannot be written: {remedy}")


def missing_file(url: str) -> str | None:
    """Return the path of the file that the URL names, if it does not exist."""
    return dialect_of_url(url).missing_file(parse_url(url))


def shown_url(url: str) -> str:
    """Return a URL without its password and parameters, which may contain secrets."""
    return parse_url(url).set(query={}).render_as_string(hide_password=True)


def keyring_of(file: Path | None) -> Keyring | None:
    """Return the keyring of a file, or None without a file; exit with status 1 if it cannot be used."""
    try:
        return None if file is None else read_keyring(file)
    except StorageError as refused:
        fail(printable(str(refused)))


@asynccontextmanager
async def opened(url: str, keyring: Path | None = None, **options: Any) -> AsyncIterator[StorageDispatcher]:
    """Open an existing database for a block, without upgrading its schema. ``keyring``: its file."""
    require_database(url)
    if (encryption := keyring_of(keyring)) is not None:
        options["encryption"] = encryption
    async with open_storage(url, migrate=False, **options) as storage:
        yield storage


async def existing_tenants(storage: StorageBackend, names: Sequence[str] | None) -> list[str]:
    """Return the tenants that have rows: those of ``names``, or all."""
    if names is None:
        return await storage.tenant_ids()
    return [name for name in names if await has_rows(storage, "tenant_ids", name)]


def tenant_of(tenant: str) -> str:
    """Return a tenant's name; exit with status 2 if it is invalid."""
    try:
        return check_tenant(tenant)
    except StorageError as refused:
        raise typer.BadParameter(str(refused)) from None


__all__ = [
    "DEFAULT_TENANT",
    "TABLES",
    "DryRun",
    "Flow",
    "Json",
    "KeyringFile",
    "Limit",
    "Tenant",
    "Topic",
    "Url",
    "Yes",
    "dialect_of_url",
    "existing_tenants",
    "keyring_of",
    "missing_file",
    "opened",
    "require_database",
    "require_writable",
    "row_type_of",
    "shown_url",
    "tenant_of",
]
