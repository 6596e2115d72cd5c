"""Requests of prune and erase runs: one class for each kind of step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from axon_storage.model.requests import Request
from axon_storage.model.rows import Row

T = TypeVar("T")


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
class CountPruned(MaintenanceRequest[int]):
    """Return the number of records about the prune runs of the tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetPruned(MaintenanceRequest[int]):
    """Delete the records about the prune runs of the tenant, and return their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPruned(MaintenanceRequest[Mapping[str, datetime]]):
    """Return up to when each table of the tenant was pruned, without the tables that were not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotePruned(MaintenanceRequest[None]):
    """Record up to when tables of the tenant were pruned elsewhere, unless a later time is recorded."""

    pruned: Mapping[str, datetime]
