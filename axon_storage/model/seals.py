"""Seal: a link of the chain that shows changes of the audit log; and the requests for seals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from axon_storage.model.maintenance import MaintenanceRequest

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A seal of the audit entries of a tenant whose ids are from ``first_id`` to below ``end_id``.

    ``number``: counts from 1. ``first_id`` is the ``end_id`` of the seal before. ``pruned_before``: up to when the
    audit log had been pruned. ``digests``: for each entry its id (16 bytes) and its digest (32 bytes), in base64; empty
    and ``has_digests`` False after all these entries were pruned. ``digests_hash``: the hash of these bytes.
    ``previous_hash``: the ``seal_hash`` of the seal before. ``seal_hash``: the hash of the fields above it. Hashes are
    SHA-256 in hexadecimal.
    """

    tenant: str
    number: int
    first_id: UUID
    end_id: UUID
    entries: int
    pruned_before: datetime | None
    sealed_at: datetime
    previous_hash: str
    digests_hash: str
    seal_hash: str
    has_digests: bool = True
    digests: str


class SealState(NamedTuple):
    """The ``last`` seal of a tenant without its digests, up to when its audit log was pruned, and the time now."""

    last: Seal | None
    pruned_before: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SealRequest(MaintenanceRequest[T]):
    """A request for the seals of a tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSealState(SealRequest[SealState]):
    """Return what a run that seals or verifies begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSeals(SealRequest[Sequence[Seal]]):
    """Return the first ``limit`` seals with numbers above ``after``."""

    after: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddSeal(SealRequest[bool]):
    """Store a seal. Return False if another seal with its number exists."""

    seal: Seal


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetDigests(SealRequest[None]):
    """Delete the digests of the seals that end ``before`` a time, if no entry of that time exists."""

    before: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSealedTenants(SealRequest[Sequence[str]]):
    """Return the tenants that have seals, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountSeals(SealRequest[int]):
    """Return the number of seals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetSeals(SealRequest[int]):
    """Delete up to 100 seals, and return their number. Seals are large, so a transaction deletes only some."""
