"""DocumentCipher: encrypts and decrypts documents with AES-256-GCM, with keys that are derived for each tenant."""

import os
from time import monotonic
from typing import Any, NoReturn

from axon_storage.encryption.columns import DocumentColumn, document_columns
from axon_storage.encryption.envelope import (
    NONCE_BYTES,
    Label,
    Place,
    additional_data,
    label_of,
    length_prefixed,
    looks_encrypted,
    pack,
    unpack,
)
from axon_storage.encryption.keyring import KEY_BYTES, Keyring
from axon_storage.encryption.secret import Secret
from axon_storage.errors import EncryptionError, InvalidArgumentError
from axon_storage.model.rows import ROW_TYPES, Row

SECRET_SECONDS = 60.0
"""The time after which the secret of a tenant is read again, so that an erased secret is forgotten."""

_MIN_SECRET_BYTES = 16
_MAX_TENANTS = 10_000
_PURPOSE = "axon-storage documents 1"
_CONVERT = "convert existing rows with `axon-storage keys rotate --from-plaintext`"


class _TenantKeys:
    """The secret of a tenant (None: none is used), until when it is used, and the derived keys."""

    __slots__ = ("ciphers", "secret", "until")

    def __init__(self, secret: Secret | None) -> None:
        self.secret, self.until = secret, 0.0
        self.ciphers: dict[Label, Any] = {}


class DocumentCipher:
    """Encrypts and decrypts the documents of one storage. :meth:`load` comes first: it gets the tenant's secret."""

    def __init__(self, keyring: Keyring) -> None:
        self._primitives = _primitives()
        self._keyring = keyring
        self._tenants: dict[str, _TenantKeys] = {}
        self._columns = {
            row_type: tuple([each for each in document_columns(row_type) if self._is_encrypted(row_type, each)])
            for row_type in ROW_TYPES
        }

    @property
    def keyring(self) -> Keyring:
        """The keyring."""
        return self._keyring

    def columns(self, row_type: type[Row]) -> tuple[DocumentColumn, ...]:
        """Return the columns of a row type that are encrypted."""
        return self._columns.get(row_type, ())

    def is_loaded(self, tenant: str) -> bool:
        """Return whether :meth:`load` has nothing to do. Then the tenant's keys are kept while they are used."""
        if not self._keyring.is_unlocked:
            return False
        if self._keyring.tenant_secrets is None or not tenant:
            return True
        known = self._tenants.get(tenant)
        if known is None or monotonic() >= known.until:
            return False
        self._tenants[tenant] = self._tenants.pop(tenant)  # now the last that is forgotten
        return True

    async def load(self, tenant: str, *, create: bool) -> None:
        """Unlock the keyring, and get the secret of a tenant. ``create``: the call stores documents."""
        await self._keyring.unlock()
        if self.is_loaded(tenant):
            return
        secret = await self._secret(tenant, create=create)
        if self.is_loaded(tenant):  # another call has loaded it, perhaps created it after this one looked
            return
        known = self._tenants.pop(tenant, None)
        if secret is None:
            return
        if known is None or known.secret is None or known.secret.reveal() != secret.reveal():
            known = _TenantKeys(secret)
        known.until = monotonic() + SECRET_SECONDS
        self._remember(tenant, known)

    def _remember(self, tenant: str, keys: _TenantKeys) -> None:
        while len(self._tenants) >= _MAX_TENANTS:
            self._tenants.pop(next(iter(self._tenants)))
        self._tenants[tenant] = keys

    def encrypt(self, place: Place, text: str) -> str:
        """Return the envelope of a document."""
        label = self._keyring.active_label
        cipher = self._cipher_of(label, place)
        nonce = os.urandom(NONCE_BYTES)
        return pack(label, nonce + cipher.encrypt(nonce, text.encode(), additional_data(label, place)))

    def decrypt(self, place: Place, stored: object) -> str:
        """Return the document of an envelope; raise an EncryptionError for anything else."""
        if not isinstance(stored, str) or not looks_encrypted(stored):
            raise not_encrypted(place)
        label = label_of(stored)
        if label is None:
            _refuse(place, "its envelope is damaged")
        cipher = self._cipher_of(label, place)
        if (text := _decrypted(cipher, label, place, stored)) is None:
            _refuse(place, f"it was changed or moved, or key {label.key_id!r} or the secret of the tenant is wrong")
        return text

    def _is_encrypted(self, row_type: type[Row], column: DocumentColumn) -> bool:
        return f"{row_type.TABLE}.{column.name}" in self._keyring.columns

    async def _secret(self, tenant: str, *, create: bool) -> Secret | None:
        secrets = self._keyring.tenant_secrets
        assert secrets is not None  # noqa: S101  # for mypy: load() has checked it
        try:
            found = await (secrets.create(tenant) if create else secrets.get(tenant))
        except Exception as error:  # of any type, and it may show the secret
            reason = type(error).__name__
        else:
            if found is None:
                return None
            is_valid = isinstance(found, bytes) and len(found) >= _MIN_SECRET_BYTES
            secret, reason = Secret(found if is_valid else b""), "too short, or not bytes"
            del found
            if is_valid:
                return secret
        raise EncryptionError(f"the secret of a tenant cannot be used ({reason})", code="tenant_secret_unavailable")

    def _cipher_of(self, label: Label, place: Place) -> Any:
        """Return the cipher with a tenant's key, which is derived when it is used first."""
        known = self._tenants.get(place.tenant)
        if known is not None and (cipher := known.ciphers.get(label)) is not None:
            return cipher
        master = self._keyring.master_key(label.key_id)
        if label.derivation == "t" and (known is None or known.secret is None):
            message = f"{place}: key {label.key_id!r} needs the secret of the tenant, which is missing or was erased"
            raise EncryptionError(message, code="tenant_secret_missing")
        if known is None:
            known = _TenantKeys(None)
            self._remember(place.tenant, known)
        cipher = known.ciphers[label] = self._derived(master, known.secret if label.derivation == "t" else None, place)
        return cipher

    def _derived(self, master: Secret, secret: Secret | None, place: Place) -> Any:
        ciphers, hkdf, sha256 = self._primitives
        info = length_prefixed([_PURPOSE, place.tenant])
        salt = None if secret is None else secret.reveal()
        derivation = hkdf(algorithm=sha256(), length=KEY_BYTES, salt=salt, info=info)
        del salt
        return ciphers(derivation.derive(master.reveal()))


def not_encrypted(place: Place) -> EncryptionError:
    """Return the error for a value that is not encrypted."""
    return EncryptionError(f"{place}: a stored value is not encrypted: {_CONVERT}", code="value_not_encrypted")


def _refuse(place: Place, reason: str) -> NoReturn:
    raise EncryptionError(f"{place}: a stored value is not authentic: {reason}", code="value_not_authentic")


def _decrypted(cipher: Any, label: Label, place: Place, stored: str) -> str | None:
    """Return the document; None if it was not encrypted with this key for this place."""
    try:
        data = unpack(label, stored)
        plain = cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], additional_data(label, place))
        return str(plain, "utf-8")
    except Exception as error:
        if type(error).__name__ != "InvalidTag" and not isinstance(error, ValueError):  # cryptography is optional
            raise
    return None


def _primitives() -> tuple[Any, Any, Any]:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  # optional
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415  # optional
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415  # optional
    except ModuleNotFoundError:
        missing = "encryption needs the package cryptography: pip install 'axon-storage[encryption]'"
        raise InvalidArgumentError(missing) from None
    return AESGCM, HKDF, SHA256
