"""The secrets of tenants: without its secret, the documents of a tenant cannot be decrypted."""

import asyncio
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from axon_storage.errors import InvalidArgumentError

SECRET_BYTES = 32

_MARK = "axon-storage-tenant-secrets"
_OTHERS = 0o077


class TenantSecrets(Protocol):
    """Keeps a random secret for each tenant, outside of the database and of its backups.

    Any exception of a method means that the secret cannot be used, and the call of the storage fails.
    """

    async def get(self, tenant: str) -> bytes | None:
        """Return the secret of a tenant, at least 16 bytes; None if it has none."""

    async def create(self, tenant: str) -> bytes:
        """Return the secret of a tenant; create it if there is none. Several calls at once return the same."""

    async def erase(self, tenant: str) -> bool:
        """Erase the secret of a tenant, and return whether there was one."""


class TenantSecretDirectory:
    """Secrets of tenants in a local directory, with one file for each tenant, which only its owner can read.

    ``path``: a directory that :meth:`initialize` has made. It is refused if other users can read it. A file's name is
    the SHA-256 of the tenant. Several processes can use the directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        if not (self._path / _MARK).is_file():
            remedy = "correct the path, or make the directory with TenantSecretDirectory.initialize()"
            raise InvalidArgumentError(f"tenant secrets: {self._path} is no directory of tenant secrets: {remedy}")
        if self._path.stat().st_mode & _OTHERS:
            raise InvalidArgumentError(f"tenant secrets: other users can use {self._path}: chmod 700")

    @classmethod
    def initialize(cls, path: str | os.PathLike[str]) -> "TenantSecretDirectory":
        """Make the directory if it does not exist, and return it.

        It is not made when secrets are used, because a wrong path would then give each tenant another secret.
        """
        Path(path).mkdir(mode=0o700, exist_ok=True)
        (Path(path) / _MARK).touch(mode=0o600)
        return cls(path)

    async def get(self, tenant: str) -> bytes | None:
        """Return the secret of a tenant; None if it has none."""
        return await asyncio.to_thread(self._read, tenant)

    async def create(self, tenant: str) -> bytes:
        """Return the secret of a tenant; create it if there is none."""
        return await asyncio.to_thread(self._create, tenant)

    async def erase(self, tenant: str) -> bool:
        """Overwrite and delete the file of a tenant, and return whether there was one.

        A copy of the file, a snapshot of the file system or a flash memory may still have the secret.
        """
        return await asyncio.to_thread(self._erase, tenant)

    def _file(self, tenant: str) -> Path:
        return self._path / sha256(tenant.encode("utf-8", "surrogatepass")).hexdigest()

    def _read(self, tenant: str) -> bytes | None:
        with suppress(FileNotFoundError):
            return self._file(tenant).read_bytes()
        self._check_mark()
        return None

    def _check_mark(self) -> None:
        """Raise a FileNotFoundError if the directory is not there, for example because it is not mounted any more."""
        (self._path / _MARK).stat()

    def _create(self, tenant: str) -> bytes:
        if (found := self._read(tenant)) is not None:
            return found
        file = self._file(tenant)
        temporary = file.with_name(f".{uuid4().hex}.part")
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
                new.write(os.urandom(SECRET_BYTES))
                new.flush()
                os.fsync(new.fileno())
            with suppress(FileExistsError):  # another process was first
                os.link(temporary, file)
            self._sync()
        finally:
            temporary.unlink(missing_ok=True)
        return file.read_bytes()

    def _erase(self, tenant: str) -> bool:
        file = self._file(tenant)
        try:
            with file.open("r+b") as old:
                file.unlink()  # first, so that nobody reads what it is overwritten with
                old.write(os.urandom(SECRET_BYTES))
                old.flush()
                os.fsync(old.fileno())
        except FileNotFoundError:
            return False
        self._sync()
        return True

    def _sync(self) -> None:
        """Sync the names to disk, where the system can."""
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def __repr__(self) -> str:
        return f"TenantSecretDirectory({str(self._path)!r})"
