"""The envelope: how an encrypted document is stored, and the additional data that binds it to its place."""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

VERSION = "axon1"
"""The version of the envelope: AES-256-GCM with a nonce of 12 bytes and a tag of 16 bytes."""

NONCE_BYTES = 12
TAG_BYTES = 16

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_LABEL = re.compile(rf"{VERSION}\.([mt])\.({_KEY_ID.pattern})\.")
_LAST = -4


class Label(NamedTuple):
    """The key of an envelope. ``derivation``: ``"m"`` from the master key, ``"t"`` also from the tenant's secret."""

    derivation: str
    key_id: str

    @property
    def text(self) -> str:
        """The begin of the envelope."""
        return f"{VERSION}.{self.derivation}.{self.key_id}."


class Place(NamedTuple):
    """Where a document is stored. ``key``: the columns of the primary key after the tenant."""

    table: str
    tenant: str
    key: tuple[Any, ...]
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


def is_key_id(text: object) -> bool:
    """Return whether a text can be the id of a key."""
    return isinstance(text, str) and _KEY_ID.fullmatch(text) is not None


def looks_encrypted(value: object) -> bool:
    """Return whether a value begins as an envelope, with or without the quotation mark of a JSON string."""
    return isinstance(value, str) and value.startswith((f"{VERSION}.", f'"{VERSION}.'))


def is_envelope(value: object) -> bool:
    """Return whether a value is a complete envelope, of any key."""
    if not isinstance(value, str) or (label := label_of(value)) is None:
        return False
    try:
        unpack(label, value)
    except ValueError:
        return False
    return True


def label_of(start: str) -> Label | None:
    """Return the label of an envelope from its start; None if there is none."""
    found = _LABEL.match(start)
    return None if found is None else Label(found[1], found[2])


def pack(label: Label, data: bytes) -> str:
    """Return the envelope. ``data``: the nonce, the ciphertext and the tag."""
    return label.text + b64encode(data).decode("ascii")


def unpack(label: Label, envelope: str) -> bytes:
    """Return the data of an envelope with this label; raise a ValueError unless it is as :func:`pack` wrote it."""
    text = envelope[len(label.text) :]
    data = b64decode(text, validate=True)
    if len(data) < NONCE_BYTES + TAG_BYTES:
        raise ValueError("too short")
    # several texts have the same bytes, if the unused bits of the last character are set
    if b64encode(b64decode(text[_LAST:])).decode("ascii") != text[_LAST:]:
        raise ValueError("not canonical")
    return data


def additional_data(label: Label, place: Place) -> bytes:
    """Return what is authenticated with a document, but not stored in its envelope."""
    return length_prefixed([label.text, place.table, place.tenant, *place.key, place.column])


def length_prefixed(values: Iterable[Any]) -> bytes:
    """Return values as bytes: each with its length in 8 bytes, so that different values have different bytes."""
    parts = []
    for value in values:
        data = _bytes_of(value)
        parts += [len(data).to_bytes(8, "big"), data]
    return b"".join(parts)


def _bytes_of(value: Any) -> bytes:
    match value:
        case str():
            return value.encode("utf-8", "surrogatepass")
        case int():
            return str(value).encode()
        case UUID():
            return value.bytes
    raise ValueError(type(value).__name__)  # SQLite stores any type in a key
