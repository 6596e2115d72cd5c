"""Requests: one class for each kind of call, with its validated arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from axon_storage.model.rows import CheckedRow, Recorded, Row

T = TypeVar("T")
R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """A call: the name of the public method, the tenant, and the validated arguments. T is the type of the result."""

    operation: str
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest(Request[T]):
    """A write whose row keys are known in advance, so that it can share a transaction with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Save(WriteRequest[None]):
    """Store rows of any types, in order and atomically."""

    rows: Sequence[CheckedRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(WriteRequest[UUID]):
    """Insert a row with ``id`` (None: a new id). Do nothing if a row with this id exists."""

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
    """Return rows whose fields equal ``where``, newest first, with limit and offset."""

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
    """Delete the rows whose key is ``prefix`` plus one of the values ``last``, and return their number."""

    row_type: type[Row]
    prefix: Mapping[str, Any]
    last: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictExpired(Request[int]):
    """Delete the expired rows, and return their number."""

    row_type: type[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListScopes(Request[list[str]]):
    """Return the distinct values of the first key field, sorted."""

    row_type: type[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTenants(Request[list[str]]):
    """Return the tenants that have rows, sorted. Only this request reads rows of all tenants."""


# Steps of prune and erase runs.


class OldRows(NamedTuple):
    """A page of primary keys, without the tenant.

    ``keys``: of the old rows. ``unknown``: of the rows whose age is unknown. ``after``: the position of the next page,
    or None at the end.
    """

    keys: list[tuple[Any, ...]]
    unknown: list[tuple[Any, ...]]
    after: tuple[Any, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceRequest(Request[T]):
    """A step of a run, with a transaction of its own: it cannot be part of a ``transaction()``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeLease(MaintenanceRequest[datetime | None]):
    """Take the lease of a table for the run ``holder``, and record that rows ``before`` a time are pruned.

    A storage waits until no other run holds the lease, and then returns None.
    """

    row_type: type[Row]
    holder: UUID
    before: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLease(MaintenanceRequest[None]):
    """Release the lease of a table, if the run ``holder`` has it."""

    row_type: type[Row]
    holder: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOld(MaintenanceRequest[OldRows]):
    """Return the keys of old rows among the next ``limit`` rows after a position (None: the start).

    ``before``: rows are old if they were recorded, or last saved, before this time. None: all rows are old.
    """

    row_type: type[Row]
    where: Mapping[str, Any]
    before: datetime | None
    after: tuple[Any, ...] | None
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOld(MaintenanceRequest[int | None]):
    """Delete the rows with the given keys that are still old, and return their number.

    Rows of ``unknown`` age count as saved now. ``holder``: the run, whose lease is renewed; return None if the run has
    lost it. Without a holder there is no lease.
    """

    row_type: type[Row]
    keys: Sequence[tuple[Any, ...]]
    unknown: Sequence[tuple[Any, ...]]
    before: datetime | None
    holder: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetPruned(MaintenanceRequest[None]):
    """Delete what is stored about the prune runs of the tenant."""
