"""Keyring: the master keys, the columns that are encrypted, and the secrets of tenants."""

import os
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import NoReturn, Protocol

from axon_storage.encryption.columns import check_columns
from axon_storage.encryption.envelope import Label, is_key_id
from axon_storage.encryption.secret import Secret
from axon_storage.encryption.tenant_secrets import TenantSecrets
from axon_storage.errors import EncryptionError, InvalidArgumentError

KEY_BYTES = 32

_ID = "1 to 32 letters, digits, - and _"


class MasterKey(Secret):
    """A master key of 32 bytes. Its bytes are never shown."""

    __slots__ = ()

    def __init__(self, value: bytes) -> None:
        is_valid = isinstance(value, bytes) and len(value) == KEY_BYTES
        super().__init__(value if is_valid else b"")
        del value  # so that a traceback with locals does not show it
        if not is_valid:
            raise InvalidArgumentError(f"a master key is {KEY_BYTES} bytes; make one with `axon-storage keys generate`")

    @classmethod
    def generate(cls) -> "MasterKey":
        """Return a new random key."""
        return cls(os.urandom(KEY_BYTES))

    @classmethod
    def from_base64(cls, text: str) -> "MasterKey":
        """Return the key of a text in base64."""
        try:
            return cls(b64decode(text, validate=True))
        except (ValueError, TypeError):  # an InvalidArgumentError is a ValueError
            del text
        raise InvalidArgumentError(f"a master key is {KEY_BYTES} bytes in base64")


class WrappedKey(Secret):
    """A master key that was encrypted by a key management service; ``unwrapper`` of the keyring decrypts it."""

    __slots__ = ()


class KeyUnwrapper(Protocol):
    """Decrypts wrapped keys: a client of a key management service."""

    async def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """Return the 32 bytes of the key. Any exception means that the key cannot be used."""


class Keyring:
    """The keys with which documents are encrypted.

    ``keys``: the master keys by their ids (letters, digits, ``-`` and ``_``; an id is stored in every value and is no
    secret). ``active``: the id of the key that encrypts; the others only decrypt. It can be left out if there is one
    key. ``columns``: the columns to encrypt, as ``"sessions.value"``; None means all JSON and long text columns.
    ``tenant_secrets``: the secrets of tenants, outside of the database and its backups; without them, the documents of
    one tenant cannot be erased by erasing its key. ``unwrapper``: decrypts the keys that are a :class:`WrappedKey`::

        keyring = Keyring({"2026-11": MasterKey.from_base64(os.environ["DOCUMENT_KEY"])})
        async with open_storage(url, encryption=keyring) as storage:
            ...

    A keyring can be used by several storages, event loops and threads. It cannot be pickled.
    """

    def __init__(
        self,
        keys: Mapping[str, MasterKey | WrappedKey],
        *,
        active: str | None = None,
        columns: Iterable[str] | None = None,
        tenant_secrets: TenantSecrets | None = None,
        unwrapper: KeyUnwrapper | None = None,
    ) -> None:
        kinds = {key_id: type(key) for key_id, key in keys.items()}
        self._keys = {key_id: key for key_id, key in keys.items() if isinstance(key, Secret)}
        del keys  # a wrong caller may have passed bytes
        self._active = active or next(iter(kinds), "")
        _check_keys(kinds, active, has_unwrapper=unwrapper is not None)
        self._columns, self._tenant_secrets = check_columns(columns), tenant_secrets
        self._unwrapper = unwrapper
        self._unlocked = {key_id: key for key_id, key in self._keys.items() if isinstance(key, MasterKey)}

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys."""
        return tuple(self._keys)

    @property
    def active(self) -> str:
        """The id of the key that encrypts."""
        return self._active

    @property
    def columns(self) -> frozenset[str]:
        """The columns that are encrypted, as ``"sessions.value"``."""
        return self._columns

    @property
    def tenant_secrets(self) -> TenantSecrets | None:
        """The secrets of tenants."""
        return self._tenant_secrets

    @property
    def active_label(self) -> Label:
        """The label of new envelopes."""
        return Label("m" if self._tenant_secrets is None else "t", self._active)

    @property
    def is_unlocked(self) -> bool:
        """Whether :meth:`unlock` has nothing to do."""
        return len(self._unlocked) == len(self._keys)

    async def unlock(self) -> None:
        """Unwrap the keys that are wrapped and were not unwrapped yet. Opening a storage does it."""
        for key_id, key in self._keys.items():
            if key_id not in self._unlocked:
                self._unlocked[key_id] = await self._unwrapped(key_id, key)

    async def _unwrapped(self, key_id: str, key: Secret) -> MasterKey:
        reason = "no unwrapper was given"
        if self._unwrapper is not None:
            try:
                return MasterKey(await self._unwrapper.unwrap(key_id, key.reveal()))
            except Exception as error:  # of any type, and it may show the key
                reason = type(error).__name__
        message = f"key {key_id!r} cannot be unwrapped ({reason})"
        raise EncryptionError(message, code="key_unavailable")

    def master_key(self, key_id: str) -> MasterKey:
        """Return the key with an id; raise an EncryptionError if it is missing."""
        if (key := self._unlocked.get(key_id)) is None:
            raise EncryptionError(f"key {key_id!r} is not in the keyring: add it", code="key_missing")
        return key

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Keyring cannot be pickled or copied")

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)}; active {self._active})"


def _check_keys(kinds: Mapping[str, type], active: str | None, *, has_unwrapper: bool) -> None:
    if not kinds:
        raise InvalidArgumentError("keys: there is no key; make one with `axon-storage keys generate`")
    for key_id, kind in kinds.items():
        if not is_key_id(key_id):
            raise InvalidArgumentError(f"keys: an id is not {_ID}")
        if not issubclass(kind, MasterKey | WrappedKey):
            raise InvalidArgumentError(f"keys: {key_id!r} is not a MasterKey or a WrappedKey")
        if issubclass(kind, WrappedKey) and not has_unwrapper:
            raise InvalidArgumentError(f"keys: {key_id!r} is a WrappedKey: pass an unwrapper")
    if active is None and len(kinds) > 1:
        raise InvalidArgumentError("active: there are several keys; pass the id of the one that encrypts")
    if active is not None and active not in kinds:
        raise InvalidArgumentError("active: there is no key with this id")
