"""What a call asks of a storage, checked and ready to carry out: one small class a verb."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from axon_storage.model.rows import CheckedRow, Recorded, Row

T = TypeVar("T")
R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """One call: the public method it came from, and the tenant it is confined to."""

    operation: str
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest(Request[T]):
    """A call that writes rows it knows by their keys, and so may go together with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Save(WriteRequest[None]):
    """Store rows of any types, in order, all or none."""

    rows: Sequence[CheckedRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(WriteRequest[UUID]):
    """Store one row under ``id``, or under a new one, unless that id is there already."""

    row: CheckedRow
    id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Get(Request[R | None], Generic[R]):
    """The row of a key, if it is there."""

    row_type: type[R]
    key: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListByKey(Request[list[R]], Generic[R]):
    """All rows whose key begins with ``prefix``, in key order."""

    row_type: type[R]
    prefix: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNewest(Request[list[R]], Generic[R]):
    """A page of the rows that match ``where``, newest first."""

    row_type: type[R]
    where: Mapping[str, Any]
    limit: int
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage(Request[list[Recorded[R]]], Generic[R]):
    """The ``limit`` rows that match ``where``, the oldest first, whose ids lie between ``after`` and ``before``."""

    row_type: type[R]
    where: Mapping[str, Any]
    after: UUID
    before: UUID
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(WriteRequest[int]):
    """Delete the rows whose key is ``prefix`` and then one of ``last``; give how many went."""

    row_type: type[Row]
    prefix: Mapping[str, Any]
    last: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictExpired(Request[int]):
    """Delete the rows that have expired; give how many went."""

    row_type: type[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListScopes(Request[list[str]]):
    """The distinct values of the first field of a key, in order."""

    row_type: type[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTenants(Request[list[str]]):
    """The tenants that have rows, in order: the one call that looks across tenants."""
