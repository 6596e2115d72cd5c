"""Keyring files: JSON with the master keys in base64, which only their owner can read."""

import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from axon_storage.encryption.envelope import is_key_id
from axon_storage.encryption.keyring import Keyring, MasterKey
from axon_storage.encryption.secret import Secret
from axon_storage.encryption.tenant_secrets import TenantSecretDirectory
from axon_storage.errors import InvalidArgumentError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

_OTHERS, _GROUP_READS = 0o077, 0o040
_MEMBERS = {"active", "keys", "columns", "tenant_secrets"}


def read_keyring(file: str | os.PathLike[str]) -> Keyring:
    """Return the keyring of a file that ``axon-storage keys generate`` has written.

    The file has ``keys``, an object with each key in base64 by its id, ``active``, and optionally ``columns``, a list,
    and ``tenant_secrets``, the path of a :class:`TenantSecretDirectory`, relative to the file.
    """
    path = Path(file)
    document = _read(path)
    secrets = document.get("tenant_secrets")
    return Keyring(
        {key_id: MasterKey.from_base64(hidden.reveal().decode()) for key_id, hidden in document["keys"].items()},
        active=document["active"],
        columns=document.get("columns"),
        tenant_secrets=None if secrets is None else TenantSecretDirectory(path.parent / secrets),
    )


def generate(file: str | os.PathLike[str], key_id: str, *, tenant_secrets: str | None = None) -> None:
    """Write a new keyring file with one key. An existing file is an error."""
    path = Path(file)
    document: dict[str, Any] = {"active": key_id, "keys": {key_id: _new_key(key_id)}}
    if tenant_secrets is not None:
        TenantSecretDirectory.initialize(path.parent / tenant_secrets)
        document["tenant_secrets"] = tenant_secrets
    with _locked(path.parent):
        temporary = _written(path, document)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise InvalidArgumentError(f"{path} exists: add a key with `axon-storage keys add`") from None
        finally:
            temporary.unlink()


def add_key(file: str | os.PathLike[str], key_id: str) -> None:
    """Add a new key to a file. It only decrypts, until it is made active."""

    def add(document: dict[str, Any]) -> None:
        if key_id in document["keys"]:
            raise InvalidArgumentError(f"the keyring has a key {key_id!r} already: choose another id")
        document["keys"][key_id] = _new_key(key_id)

    _change(Path(file), add)


def activate_key(file: str | os.PathLike[str], key_id: str) -> None:
    """Make a key of a file the one that encrypts."""

    def activate(document: dict[str, Any]) -> None:
        if key_id not in document["keys"]:
            raise InvalidArgumentError("the keyring has no key with this id: add it first")
        document["active"] = key_id

    _change(Path(file), activate)


def remove_key(file: str | os.PathLike[str], key_id: str) -> None:
    """Remove a key from a file. The caller has checked that no document needs it."""
    _change(Path(file), lambda document: document["keys"].pop(key_id))


def _new_key(key_id: str) -> Secret:
    if not is_key_id(key_id):
        raise InvalidArgumentError("a key's id is 1 to 32 letters, digits, - and _")
    return Secret(b64encode(MasterKey.generate().reveal()))


def _change(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = path.resolve()  # so that a symbolic link stays one
    with _locked(path.parent):
        document = _read(path)
        change(document)
        _written(path, document).replace(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change the files of a folder, and sync their names to disk, where the system can."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any]:
    """Return the members of a file, with hidden keys. No frame of an error has their text in a variable."""
    try:
        if os.name == "posix" and _is_open(path.stat()):
            raise InvalidArgumentError(f"keyring: other users can use {path}: chmod 600")
        with suppress(ValueError, TypeError, AttributeError, KeyError):
            return _hidden(json.loads(path.read_bytes()))
    except OSError as error:
        raise InvalidArgumentError(f"keyring: {path}: {error.strerror or type(error).__name__}") from None
    raise InvalidArgumentError(f"keyring: {path} is no keyring file; make one with `axon-storage keys generate`")


def _is_open(status: os.stat_result) -> bool:
    """Return whether others than the owner can use a file. The group may read one of root, as a mounted secret is."""
    return bool(status.st_mode & _OTHERS & ~(0 if status.st_uid else _GROUP_READS))


def _hidden(document: dict[str, Any]) -> dict[str, Any]:
    if document.keys() - _MEMBERS or type(document["active"]) is not str:
        raise ValueError("members")
    return document | {"keys": {key_id: Secret(text.encode()) for key_id, text in document["keys"].items()}}


def _written(path: Path, document: dict[str, Any]) -> Path:
    """Write a document to a temporary file, and return it."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as new:
        json.dump(document, new, indent=2, default=lambda key: key.reveal().decode())
        new.write("\n")
        new.flush()
        os.fsync(new.fileno())
    return temporary
