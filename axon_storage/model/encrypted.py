"""The requests of key rotation, and of the check of the keys when a storage is opened."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from axon_storage.model.requests import Request
from axon_storage.model.rows import Row

T = TypeVar("T")


class StartRow(NamedTuple):
    """A row: its primary key after the tenant, and the first characters of its documents as they are stored.

    ``size``: of all documents of the row, as the database measures it.
    """

    key: tuple[Any, ...]
    starts: tuple[Any, ...]
    size: int


@dataclass(frozen=True, slots=True)
class StartPage:
    """Rows of a tenant in one table, in primary key order. ``is_last``: no row follows."""

    rows: Sequence[StartRow]
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionRequest(Request[T]):
    """A request about the envelopes of one table."""

    row_type: type[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadStarts(EncryptionRequest[StartPage]):
    """Return the first characters of the encrypted columns of the rows whose key follows ``after`` (empty: all)."""

    after: tuple[Any, ...]
    max_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReencryptRows(EncryptionRequest[int]):
    """Encrypt documents of rows with the active key, and return the number of rows that were changed.

    Values that have it already, and rows that do not exist any more, are left. ``from_plaintext``: encrypt values that
    are not encrypted; otherwise they are an error.
    """

    keys: Sequence[tuple[Any, ...]]
    from_plaintext: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSamples(EncryptionRequest[Sequence[tuple[Any, ...]]]):
    """Return the tenants, keys and stored documents of a few rows, of any tenant."""

    limit: int
