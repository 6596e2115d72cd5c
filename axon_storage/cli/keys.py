"""``axon-storage keys``: make keyring files, count the documents of each key, and rotate keys."""

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from axon_storage.cli.options import Json, Url, Yes, keyring_of, opened, require_writable
from axon_storage.cli.progress import bar
from axon_storage.cli.terminal import NOTHING, ask, fail, nothing, printable, quoted, run, show, show_json, show_table
from axon_storage.cli.transferred import Tenants, reporting, tenant_names
from axon_storage.encryption import files
from axon_storage.errors import StorageError

app = typer.Typer(no_args_is_help=True, help="Make keyring files, count the documents of each key, and rotate keys.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The keyring file.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The id of the key: letters, digits, - and _.")]
Keyring = Annotated[
    Path,
    typer.Option(
        "--keyring", envvar="AXON_STORAGE_KEYRING", show_default=False, help="The file with the keys of the documents."
    ),
]
Secrets = Annotated[
    str | None,
    typer.Option(
        "--tenant-secrets", metavar="DIRECTORY", help="Make a directory for the secrets of tenants, next to FILE."
    ),
]
FromPlaintext = Annotated[
    bool, typer.Option("--from-plaintext", help="Also encrypt documents that are not encrypted yet.")
]


@app.command()
def generate(file: File, key_id: KeyId, *, tenant_secrets: Secrets = None) -> None:
    """Write a new keyring file with one random key. Only you can read it. The key is not printed."""
    _edit(lambda: files.generate(file, key_id, tenant_secrets=tenant_secrets))
    show(f"{printable(str(file))} has the key {quoted(key_id)}: keep a copy in another place than the backups")


@app.command()
def add(file: File, key_id: KeyId) -> None:
    """Add a random key to a keyring file. It only decrypts: give the file to every process, and activate it then."""
    _edit(lambda: files.add_key(file, key_id))
    show(f"added the key {quoted(key_id)}")


@app.command()
def activate(file: File, key_id: KeyId) -> None:
    """Make a key of a keyring file the one that encrypts. Every process must have a file with the key by now."""
    _edit(lambda: files.activate_key(file, key_id))
    show(f"the key {quoted(key_id)} is active: restart the processes that use the file, and run `keys rotate`")


@app.command()
def status(url: Url, keyring: Keyring, *, tenant: Tenants = None, as_json: Json = False) -> None:
    """Count the documents of each key and table. All tenants, unless --tenant is given.

    Exits with status 3 if there are documents that do not have the active key.
    """
    uses = run(_status(url, keyring, tenant_names(tenant)))
    if as_json:
        show_json([asdict(use) for use in uses])
    else:
        show_table(["table", "key", "tenant secret", "active", "documents"], (_cells(use) for use in uses))
    if not uses:
        nothing("there are no documents in the encrypted columns")
    if count := sum(use.documents for use in uses if not use.is_active):
        fail(f"{count:,} documents do not have the active key: run `axon-storage keys rotate`", NOTHING)


@app.command()
def rotate(
    url: Url,
    keyring: Keyring,
    *,
    tenant: Tenants = None,
    from_plaintext: FromPlaintext = False,
    as_json: Json = False,
) -> None:
    """Encrypt every document with the active key, while the database is in use. All tenants, unless --tenant is given.

    If it is interrupted, run it again. Exits with status 3 if nothing had to be changed.
    """
    require_writable(url)
    with bar() as progress:
        work = _rotate(url, keyring, tenant_names(tenant), from_plaintext, reporting(progress))
        changed = run(work, effect="the rows that were changed stay so; run the command again to complete it")
    if as_json:
        show_json({"rows": changed})
    if not changed:
        nothing("every document has the active key: nothing was changed")
    if not as_json:
        show(f"{changed:,} rows changed")


@app.command()
def retire(file: File, key_id: KeyId, url: Url) -> None:
    """Remove a key from a keyring file, if no document of the database needs it.

    It is refused for the active key. Backups from before the rotation still need the key: keep a copy as long as them.
    """
    keyring = keyring_of(file)
    if keyring is None or key_id not in keyring.key_ids:
        fail(f"the keyring has no key {quoted(key_id)}")
    if key_id == keyring.active:
        fail(f"the key {quoted(key_id)} is active: add another key and activate it first")
    run(_require_unused(url, file, key_id))
    _edit(lambda: files.remove_key(file, key_id))
    show(f"removed the key {quoted(key_id)}: restart the processes that use the file")


@app.command("erase-tenant")
def erase_tenant_secret(
    tenant: Annotated[str, typer.Argument(metavar="TENANT")], keyring: Keyring, *, yes: Yes = False
) -> None:
    """Erase the secret of a tenant: its documents cannot be decrypted any more, in no backup. Asks for its name first.

    First stop the tenant's writers, and erase the rows with `axon-storage tenants erase`. Processes in use stop using
    the secret within 60 seconds; what they save meanwhile cannot be read. Exits with status 3 if there is no secret.
    """
    opened_keyring = keyring_of(keyring)
    secrets = None if opened_keyring is None else opened_keyring.tenant_secrets
    if secrets is None:
        fail("the keyring has no secrets of tenants: the documents of one tenant cannot be erased by their key")
    if not yes:
        question = f"No document of tenant {quoted(tenant)} can be read any more, in the database and in every backup."
        if ask(question, "Type the tenant's name to continue") != tenant:
            fail("that is not the tenant's name: nothing was erased")
    if not run(secrets.erase(tenant)):
        nothing(f"tenant {quoted(tenant)} has no secret")
    show(f"erased the secret of tenant {quoted(tenant)}")


def _edit(edit: Any) -> None:
    try:
        edit()
    except StorageError as refused:
        fail(printable(str(refused)))
    except OSError as error:
        fail(printable(f"{error.filename}: {error.strerror}"))


def _cells(use: Any) -> list[str]:
    key_id = "not encrypted" if use.key_id is None else use.key_id
    marks = ["yes" if each else "" for each in (use.tenant_secret, use.is_active)]
    return [use.table, key_id, *marks, f"{use.documents:,}"]


async def _status(url: str, keyring: Path, names: list[str] | None) -> Any:
    async with opened(url, keyring) as storage:
        return await _module().key_status(storage, tenants=names)


async def _rotate(url: str, keyring: Path, names: list[str] | None, from_plaintext: bool, report: Any) -> Any:
    async with opened(url, keyring) as storage:
        return await _module().rotate(storage, tenants=names, from_plaintext=from_plaintext, progress=report)


async def _require_unused(url: str, file: Path, key_id: str) -> None:
    async with opened(url, file) as storage:
        await _module().require_unused(storage, key_id)


def _module() -> Any:
    """Return ``axon_storage.rotation``, which is imported when it is used, so that other commands start faster."""
    return import_module("axon_storage.rotation")
