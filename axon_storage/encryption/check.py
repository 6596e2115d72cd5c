"""The checks of a keyring when a storage is opened: nothing is written with wrong keys."""

from collections.abc import AsyncIterator
from typing import Any

from axon_storage.encryption.cipher import DocumentCipher
from axon_storage.encryption.columns import document_columns
from axon_storage.encryption.envelope import Place, is_envelope, label_of
from axon_storage.encryption.keyring import Keyring
from axon_storage.encryption.rows import envelope_of, key_names
from axon_storage.errors import EncryptionError, InvalidArgumentError
from axon_storage.model.rows import Row

Sample = tuple[type[Row], tuple[Any, ...]]
"""The type of a row, and its tenant, its key and its documents as they are stored."""


def check_is_keyring(encryption: object) -> None:
    """Raise an InvalidArgumentError unless the option ``encryption`` is a keyring."""
    if not isinstance(encryption, Keyring):
        raise InvalidArgumentError(f"encryption: {type(encryption).__name__} is not a Keyring")


async def check_keys(cipher: DocumentCipher, samples: AsyncIterator[Sample]) -> None:
    """Raise the first error of a key that decrypts none of its documents among the samples.

    Documents that are not encrypted say nothing about a key. A key that the keyring does not have, and a tenant without
    a secret, are an error only if no document is decrypted, because anybody can write an id into a row, and the secret
    of one tenant may have been erased.
    """
    errors: dict[str, EncryptionError] = {}
    right: set[str] = set()
    async for row_type, row in samples:
        for place, envelope in _envelopes(row_type, row):
            await _try(cipher, place, envelope, errors, right)
        if cipher.keyring.active in right:
            return
    known = cipher.keyring.key_ids
    for key_id, error in errors.items():
        if key_id not in right and (key_id in known or not right):
            raise error


async def _try(
    cipher: DocumentCipher, place: Place, envelope: str, errors: dict[str, EncryptionError], right: set[str]
) -> None:
    label = label_of(envelope)
    if label is None or label.key_id in right:
        return
    await cipher.load(place.tenant, create=False)
    try:
        cipher.decrypt(place, envelope)
        right.add(label.key_id)
    except EncryptionError as error:
        errors.setdefault("" if error.code == "tenant_secret_missing" else label.key_id, error)


def _envelopes(row_type: type[Row], row: tuple[Any, ...]) -> list[tuple[Place, str]]:
    columns = document_columns(row_type)
    key, documents = row[1 : 1 + len(key_names(row_type))], row[-len(columns) :]
    found = []
    for column, value in zip(columns, documents, strict=True):
        envelope = envelope_of(value, is_json=column.is_json)
        if is_envelope(envelope):
            found.append((Place(row_type.TABLE, row[0], key, column.name), str(envelope)))
    return found
