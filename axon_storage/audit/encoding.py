"""The bytes that are hashed: of an audit entry, of the digests of a seal, and of a seal.

The encoding is the same on every database, and does not change: entries and seals of the past must have their hashes.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from axon_storage.model.rows import AuditRow
from axon_storage.model.seals import Seal
from axon_storage.sql.tables import TABLES

_ID = 16
_RECORD = _ID + 32

_NAMES = TABLES[AuditRow].c.keys()
ID = _NAMES.index("id")
"""The position of the id in a row of the table."""
DETAIL = _NAMES.index("detail")
"""The position of the document."""

# by name, so that a later column does not change the digests of old entries
_HASHED = [_NAMES.index(name) for name in ("tenant_id", "action", "actor", "target", "detail", "timestamp_utc")]


class Digest(NamedTuple):
    """The id of an entry, and the digest of its other columns. Without the id in it, a moved entry is recognized."""

    id: bytes
    content: bytes


def digest_of(row: tuple[Any, ...]) -> Digest:
    """Return the digest of a row of the audit log, with JSON as its stored text."""
    return Digest(row[ID].bytes, sha256(encoded("entry", [row[number] for number in _HASHED])).digest())


def joined(digests: Iterable[Digest]) -> bytes:
    """Return digests as the bytes whose hash is in the seal."""
    return b"".join([digest.id + digest.content for digest in digests])


def as_text(joined_digests: bytes) -> str:
    """Return joined digests as a seal stores them."""
    return b64encode(joined_digests).decode("ascii")


def digests_of(seal: Seal) -> dict[bytes, bytes] | None:
    """Return the content digests of a seal by id; None if they are not those that were sealed."""
    try:
        found = b64decode(seal.digests, validate=True)
    except ValueError:
        return None
    if sha256(found).hexdigest() != seal.digests_hash or len(found) != seal.entries * _RECORD:
        return None
    return {record[:_ID]: record[_ID:] for record in _records(found)}


def _records(found: bytes) -> Iterator[bytes]:
    return (found[start : start + _RECORD] for start in range(0, len(found), _RECORD))


def hash_of(seal: Seal) -> str:
    """Return the hash of a seal, whatever its ``seal_hash`` says."""
    values = [
        seal.tenant,
        seal.number,
        seal.first_id,
        seal.end_id,
        seal.entries,
        seal.pruned_before,
        seal.sealed_at,
        seal.previous_hash,
        seal.digests_hash,
    ]
    return sha256(encoded("seal", values)).hexdigest()


def encoded(kind: str, values: Iterable[Any]) -> bytes:
    """Return values as bytes that differ if a value does: the type of each, its length in 8 bytes, and its bytes."""
    parts = [f"axon-storage audit {kind} 1\n".encode()]
    for value in values:
        tag, data = _bytes_of(value)
        parts += [tag, len(data).to_bytes(8, "big"), data]
    return b"".join(parts)


def _bytes_of(value: Any) -> tuple[bytes, bytes]:
    match value:
        case str():
            return b"s", value.encode("utf-8", "surrogatepass")
        case datetime():
            return b"t", value.astimezone(UTC).isoformat(timespec="microseconds").encode()
        case None:
            return b"n", b""
        case int():
            return b"i", str(value).encode()
        case UUID():
            return b"u", value.bytes
        case _:  # a value of another type that somebody has stored in a SQLite file
            return b"x", repr(value).encode()
