"""Encrypts and decrypts the documents in rows of a table, in the order of given columns."""

from collections.abc import Callable, Sequence
from typing import Any

from axon_storage.encryption.cipher import DocumentCipher, not_encrypted
from axon_storage.encryption.columns import DocumentColumn, document_columns
from axon_storage.encryption.envelope import Label, Place, is_envelope, label_of, looks_encrypted
from axon_storage.errors import EncryptionError
from axon_storage.model.json import JsonText, decode_json
from axon_storage.model.rows import Row

Values = Sequence[Any]


def key_names(row_type: type[Row]) -> tuple[str, ...]:
    """Return the columns of the primary key after the tenant."""
    return row_type.KEY or ("id",)


class RowCipher:
    """Encrypts and decrypts the documents of rows of one type. ``names``: the columns of a row, in order."""

    def __init__(self, cipher: DocumentCipher, row_type: type[Row], names: Sequence[str]) -> None:
        self._cipher, self._table, self._tenant = cipher, row_type.TABLE, names.index("tenant_id")
        self._key = [names.index(name) for name in key_names(row_type)]
        self._encrypted = cipher.columns(row_type)
        self._documents = [(names.index(each.name), each) for each in document_columns(row_type)]

    def encrypt(self, row: Values) -> tuple[Any, ...]:
        """Return a row with its documents as they are stored. JSON is given as text.

        A document that is an envelope is refused: it would be encrypted twice.
        """
        values = list(row)
        for place, index, column in self._places(row):
            refuse_envelope(place, values[index], is_json=column.is_json)
            if column in self._encrypted:
                values[index] = stored(self._cipher.encrypt(place, values[index]), is_json=column.is_json)
        return tuple(values)

    def decrypt(self, row: Values) -> tuple[Any, ...]:
        """Return a row as the column types return it, with JSON parsed, with its documents decrypted."""
        values = list(row)
        for place, index, column in self._places(row):
            if column in self._encrypted or is_envelope(values[index]):
                text = self._cipher.decrypt(place, values[index])
                values[index] = decode_json(text) if column.is_json else text
        return tuple(values)

    def decrypt_text(self, row: Values) -> tuple[Any, ...]:
        """Return a row whose JSON is text, with its documents decrypted."""
        values = list(row)
        for place, index, column in self._places(row):
            envelope = envelope_of(values[index], is_json=column.is_json)
            if column in self._encrypted or is_envelope(envelope):
                values[index] = self._cipher.decrypt(place, envelope)
        return tuple(values)

    def _places(self, row: Values) -> list[tuple[Place, int, DocumentColumn]]:
        tenant, key = row[self._tenant], tuple([row[index] for index in self._key])
        return [(Place(self._table, tenant, key, each.name), index, each) for index, each in self._documents]


class ReencryptedRows:
    """Encrypts the documents of a tenant's rows again, with the active key."""

    def __init__(self, cipher: DocumentCipher, row_type: type[Row], tenant: str, *, from_plaintext: bool) -> None:
        self._cipher, self._row_type, self._tenant = cipher, row_type, tenant
        self._from_plaintext = from_plaintext

    def reencrypted(self, key: tuple[Any, ...], values: Values) -> Values | None:
        """Return the stored documents of a row, encrypted with the active key; None if all of them are."""
        columns = document_columns(self._row_type)
        new = [self._stored(key, *each) for each in zip(columns, values, strict=True)]
        return None if new == list(values) else new

    def _stored(self, key: tuple[Any, ...], column: DocumentColumn, value: Any) -> Any:
        place = Place(self._row_type.TABLE, self._tenant, key, column.name)
        envelope = envelope_of(value, is_json=column.is_json)
        is_named = column in self._cipher.columns(self._row_type)
        if not is_named and not is_envelope(envelope):
            return value
        if looks_encrypted(envelope):
            if label_of(envelope) == self._cipher.keyring.active_label:
                return value
            text = self._cipher.decrypt(place, envelope)
        elif self._from_plaintext:
            text = str(value)
        else:
            raise not_encrypted(place)
        return stored(self._cipher.encrypt(place, text), is_json=column.is_json)


def encrypted_values(cipher: DocumentCipher, row_type: type[Row], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of all columns of a row to save, with its documents encrypted."""
    columns, new = cipher.columns(row_type), values
    key = tuple([values[name] for name in key_names(row_type)])
    for column in document_columns(row_type):
        place, text = Place(row_type.TABLE, values["tenant_id"], key, column.name), values[column.name]
        refuse_envelope(place, text, is_json=column.is_json)
        if column in columns:
            new = new | {column.name: stored(cipher.encrypt(place, text), is_json=column.is_json)}
    return new


def decrypting(
    cipher: DocumentCipher, row_type: type[Row], names: Sequence[str], make: Callable[[Values], Any]
) -> Callable[[Values], Any]:
    """Return a function that decrypts the columns ``names`` and calls ``make``; ``make`` if nothing is encrypted."""
    if not document_columns(row_type):
        return make
    rows = RowCipher(cipher, row_type, names)
    return lambda columns: make(rows.decrypt(columns))


def refuse_envelope(place: Place, text: Any, *, is_json: bool) -> None:
    """Raise an EncryptionError for a document that is an envelope, so that no stored envelope is a plain document."""
    if looks_encrypted(text) and is_envelope(envelope_of(text, is_json=is_json)):
        message = f"{place}: a value is already encrypted: give the keyring of the source"
        raise EncryptionError(message, code="value_encrypted")


def stored(envelope: str, *, is_json: bool) -> str:
    """Return an envelope as the column stores it. It has no character that JSON escapes."""
    return JsonText(f'"{envelope}"') if is_json else envelope


def envelope_of(value: Any, *, is_json: bool) -> Any:
    """Return the envelope of a stored text. Any other value is returned, and is not an envelope."""
    if is_json and isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value if not is_json else None


def stored_label(start: Any, *, is_json: bool) -> Label | None:
    """Return the label of a stored value from its first characters; None if it is not encrypted."""
    if not isinstance(start, str) or (is_json and not start.startswith('"')):
        return None
    return label_of(start[1:] if is_json else start)
