"""Compares entries with the digests of their seal."""

from dataclasses import dataclass, field
from uuid import UUID

from axon_storage.audit.encoding import Digest, digest_of
from axon_storage.audit.entries import Rows
from axon_storage.audit.results import AuditDifference
from axon_storage.model.ids import timestamp_of

CHANGED, REMOVED, INSERTED, REORDERED = "changed", "removed", "inserted", "reordered"
MOST = 1_000
"""The maximum number of differences of a tenant that are kept in memory; others are counted."""


@dataclass
class Differences:
    """The first differences of a tenant, and the number of all."""

    tenant: str
    first: list[AuditDifference] = field(default_factory=list)
    count: int = 0

    def add_entry(self, kind: str, row_id: bytes) -> None:
        """Add a difference of an entry."""
        found = UUID(bytes=row_id)
        self._add(AuditDifference(tenant=self.tenant, kind=kind, id=found, timestamp=timestamp_of(found)))

    def add_seal(self, kind: str, number: int) -> None:
        """Add a difference of a seal."""
        self._add(AuditDifference(tenant=self.tenant, kind=kind, seal=number))

    def _add(self, difference: AuditDifference) -> None:
        self.count += 1
        if len(self.first) < MOST:
            self.first.append(difference)


@dataclass
class Comparison:
    """The entries of one seal. ``expected``: the sealed digests by id. A digest that was found is removed from it."""

    expected: dict[bytes, bytes]
    differences: Differences
    compared: int = 0
    _other: list[Digest] = field(default_factory=list)  # entries that are not as sealed, at most MOST

    def add(self, rows: Rows) -> None:
        """Compare entries."""
        self.compared += len(rows)
        for digest in map(digest_of, rows):
            if self.expected.get(digest.id) == digest.content:
                del self.expected[digest.id]
            elif len(self._other) < MOST:
                self._other.append(digest)
            else:  # too many to look for their old places
                self.differences.add_entry(self._kind(digest, None), digest.id)
                self.expected.pop(digest.id, None)

    def finish(self) -> list[tuple[bytes, str]]:
        """Return the id of each entry that differs, and how, in the order of the ids."""
        places = {content: row_id for row_id, content in self.expected.items()}
        found = {digest.id: self._kind(digest, places.get(digest.content)) for digest in self._other}
        moved = {places[digest.content] for digest in self._other if digest.content in places}
        missing = self.expected.keys() - found.keys() - moved
        return sorted((found | dict.fromkeys(missing, REMOVED)).items())

    def _kind(self, digest: Digest, place: bytes | None) -> str:
        if place is not None and place != digest.id:
            return REORDERED
        return CHANGED if digest.id in self.expected else INSERTED
