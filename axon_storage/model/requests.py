"""Requests: one class for each kind of call, with its checked arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from axon_storage.model.rows import CheckedRow, Recorded, Row

T = TypeVar("T")
R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """A checked call: the name of the public method, the tenant, and the arguments; T is the type of the result."""

    operation: str
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest(Request[T]):
    """A request whose rows are known by their keys, so that it can share a transaction with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Save(WriteRequest[None]):
    """Store rows of any types, in order; all of them or none."""

    rows: Sequence[CheckedRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(WriteRequest[UUID]):
    """Store one row under ``id``, or under a new id with None; do nothing if the id is already stored."""

    row: CheckedRow
    id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Get(Request[R | None], Generic[R]):
    """Return the row with a key, or None."""

    row_type: type[R]
    key: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListByKey(Request[list[R]], Generic[R]):
    """Return all rows whose key begins with ``prefix``, in key order."""

    row_type: type[R]
    prefix: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNewest(Request[list[R]], Generic[R]):
    """Return a page of the rows whose fields equal ``where``, newest first."""

    row_type: type[R]
    where: Mapping[str, Any]
    limit: int
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage(Request[list[Recorded[R]]], Generic[R]):
    """Return the first ``limit`` rows with ids between ``after`` and ``before`` whose fields equal ``where``."""

    row_type: type[R]
    where: Mapping[str, Any]
    after: UUID
    before: UUID
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(WriteRequest[int]):
    """Delete the rows whose key is ``prefix`` followed by one of ``last``; return how many existed."""

    row_type: type[Row]
    prefix: Mapping[str, Any]
    last: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictExpired(Request[int]):
    """Delete the rows that have expired; return how many."""

    row_type: type[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListScopes(Request[list[str]]):
    """Return the distinct values of the first key field, in order."""

    row_type: type[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTenants(Request[list[str]]):
    """Return the tenants that have rows, in order; the only request that reads the rows of all tenants."""
