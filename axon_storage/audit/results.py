"""The results of sealing and verifying the audit log."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from axon_storage.errors import InvalidArgumentError

_FORMAT = "axon-storage-audit-seal"
_VERSION = 1
_TEXTS = ("tenant", "until", "sealed_at", "hash")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSeal:
    """What is kept elsewhere of a seal. Its hash depends on every sealed entry of the tenant and on every earlier seal.

    ``number``: of the seal in the chain of the tenant, which begins with 1. ``until``: entries before this time are
    sealed. ``sealed_at``: when. ``hash``: SHA-256 in hexadecimal. ``signature``: of the other fields, Ed25519 in
    hexadecimal, or None.
    """

    tenant: str
    number: int
    until: datetime
    sealed_at: datetime
    hash: str
    signature: str | None = None

    def to_json(self) -> str:
        """Return the seal as one line of JSON, without a line feed."""
        document: dict[str, Any] = {
            "format": _FORMAT,
            "version": _VERSION,
            "tenant": self.tenant,
            "number": self.number,
            "until": self.until.astimezone(UTC).isoformat(timespec="microseconds"),
            "sealed_at": self.sealed_at.astimezone(UTC).isoformat(timespec="microseconds"),
            "hash": self.hash,
        }
        if self.signature is not None:
            document["signature"] = self.signature
        return json.dumps(document, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes) -> "KeptSeal":
        """Return the seal of a line that :meth:`to_json` has made; otherwise raise an InvalidArgumentError."""
        try:
            document = json.loads(line)
            if (document["format"], document["version"]) != (_FORMAT, _VERSION):
                raise ValueError
            tenant, until, sealed_at, seal_hash = (document[name] for name in _TEXTS)
            number, signature = document["number"], document.get("signature")
            if type(number) is not int or type(tenant) is not str or type(seal_hash) is not str:
                raise TypeError
            if not isinstance(signature, str | None):
                raise TypeError
            return cls(
                tenant=tenant,
                number=number,
                until=_time(until),
                sealed_at=_time(sealed_at),
                hash=seal_hash,
                signature=signature,
            )
        except (ValueError, KeyError, TypeError):
            raise InvalidArgumentError("not a seal: pass a line that `axon-storage audit seal` has printed") from None

    @classmethod
    def read(cls, lines: Iterable[str | bytes]) -> "list[KeptSeal]":
        """Return the seals of the lines of a file; an error names the line. Empty lines are skipped."""
        found: list[KeptSeal] = []
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    found.append(cls.from_json(line))
            except InvalidArgumentError as refused:
                raise InvalidArgumentError(f"line {number}: {refused.message}") from None
        return found


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SealResult:
    """What a run has sealed for a tenant: its last ``seal``, and the number of ``entries`` that were not sealed before.

    ``seal`` is to be kept where nobody who can write to the database can change it.
    """

    seal: KeptSeal
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDifference:
    """A difference between the audit log of a tenant and its seals.

    ``kind``: of an entry, with its ``id`` and the ``timestamp`` in the id, ``"changed"``, ``"removed"``,
    ``"inserted"``, or ``"reordered"``: it has another id than when it was sealed. Of a seal, with its number as
    ``seal``: ``"seal changed"``; ``"seal removed"``; ``"seal not as kept"``, which means that it is not the seal that
    was kept elsewhere; ``"wrong signature"``, of the kept seal.
    """

    tenant: str
    kind: str
    id: UUID | None = None
    timestamp: datetime | None = None
    seal: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantVerifyResult:
    """The result for one tenant.

    ``seals``: the number of seals. ``until``: entries before this time are sealed; None without seals. ``entries``: the
    number of entries that were compared. ``pruned``: the number of sealed entries that were pruned, and
    ``pruned_before`` up to when. ``unknown``: the number of entries that were not compared, because their seal was
    changed. ``differences``: the first 1,000 differences. ``difference_count``: the number of all.
    """

    tenant: str
    seals: int
    until: datetime | None
    entries: int
    pruned: int
    pruned_before: datetime | None
    unknown: int
    differences: tuple[AuditDifference, ...]
    difference_count: int

    @property
    def is_intact(self) -> bool:
        """Whether there is no difference."""
        return not self.difference_count


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerifyResult:
    """The results of a :func:`axon_storage.audit.verify`, for each tenant with seals in the table or kept elsewhere."""

    tenants: tuple[TenantVerifyResult, ...]

    @property
    def is_intact(self) -> bool:
        """Whether there is no difference. It is also True, without tenants, if nothing is sealed."""
        return all(tenant.is_intact for tenant in self.tenants)

    @property
    def differences(self) -> tuple[AuditDifference, ...]:
        """The differences of all tenants."""
        return tuple(difference for tenant in self.tenants for difference in tenant.differences)
