"""TenantQueue: queued writes by tenant, taken by round-robin.

Rules:

1. The writes of a tenant are taken in order.
2. The tenants take turns. A turn ends when writes of ``turn_rows`` rows or ``turn_bytes`` bytes have been taken.
3. New tenants come before those that had a turn. A tenant whose last write was taken is new again when it is reached
   without a write. So a tenant with a single call does not wait for the turns of tenants that have many, and cannot
   come before the same tenant twice in a row.
4. If the next write of a tenant does not fit, the others continue, and the tenant keeps its place. If it had no turn in
   two batches for that reason, it has the first one of the next batch, so that large writes do not wait for ever.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from axon_storage.engine.group_commit.batch import QueuedWrite
from axon_storage.sql.writes import PreparedWrite

T = TypeVar("T")


class TenantQueue:
    """The writes of each tenant in order, and the order of the tenants' turns."""

    turn_rows: int = 16
    turn_bytes: int = 2**16
    most_left_out: int = 1_000
    """The most tenants whose writes did not fit into a batch, before it is sent without looking for others."""

    def __init__(self) -> None:
        self._writes: dict[str, OrderedDict[QueuedWrite, None]] = {}
        # Each tenant of ``_writes`` is in one of these. They may have tenants without writes, see rule 3.
        self._new: OrderedDict[str, None] = OrderedDict()
        self._had_a_turn: OrderedDict[str, None] = OrderedDict()
        self._overtaken: dict[str, None] = {}
        self._batches_since_overtaken = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, queued: QueuedWrite) -> bool:
        return queued in self._writes.get(queued.write.tenant, ())

    def add(self, queued: QueuedWrite) -> None:
        """Add a write after the others of its tenant."""
        tenant = queued.write.tenant
        writes = self._writes.get(tenant)
        if writes is None:
            writes = self._writes[tenant] = OrderedDict()
            self._new[tenant] = None
        writes[queued] = None
        self._count += 1

    def add_first(self, queued: QueuedWrite) -> None:
        """Add a write before the others of its tenant. The tenant has the next turn."""
        self.add(queued)
        self._writes[queued.write.tenant].move_to_end(queued, last=False)
        self._had_a_turn.pop(queued.write.tenant, None)
        _put_first(self._new, queued.write.tenant)

    def remove(self, queued: QueuedWrite) -> None:
        """Remove a write, if it is there."""
        writes = self._writes.get(queued.write.tenant)
        if writes is not None and queued in writes:
            del writes[queued]
            self._count -= 1
            if not self._count:
                self._clear()

    def take(self, limit: int, fits: Callable[[PreparedWrite[Any]], bool], use: Callable[[QueuedWrite], None]) -> None:
        """Remove up to ``limit`` writes that fit, and pass each of them to ``use``."""
        served, left_out = set[str](), list[tuple[str, OrderedDict[str, None]]]()
        while (
            self._count
            and limit > 0
            and len(left_out) < self.most_left_out
            and (turns := self._new or self._had_a_turn)
        ):
            tenant, _ = turns.popitem(last=False)
            if not (writes := self._writes[tenant]):
                del self._writes[tenant]
            elif taken := self._turn(writes, limit, fits, use):
                limit -= taken
                served.add(tenant)
                self._had_a_turn[tenant] = None
            else:
                left_out.append((tenant, turns))
        for tenant, turns in reversed(left_out):
            _put_first(turns, tenant)
        self._note_overtaken(served, [tenant for tenant, _ in left_out])
        if not self._count:
            self._clear()

    def _note_overtaken(self, served: set[str], left_out: list[str]) -> None:
        """Give the first turn to the tenant that was left out first, at most after every second batch."""
        for tenant in [tenant for tenant in self._overtaken if tenant in served or not self._writes.get(tenant)]:
            del self._overtaken[tenant]
        first = next(iter(self._overtaken), None)
        self._overtaken.update(dict.fromkeys(tenant for tenant in left_out if tenant not in served))
        self._batches_since_overtaken += 1
        if first in left_out and self._batches_since_overtaken > 1:
            self._batches_since_overtaken = 0
            del self._overtaken[first]
            self._had_a_turn.pop(first, None)
            _put_first(self._new, first)

    def _turn(
        self,
        writes: OrderedDict[QueuedWrite, None],
        limit: int,
        fits: Callable[[PreparedWrite[Any]], bool],
        use: Callable[[QueuedWrite], None],
    ) -> int:
        """Take the writes of a tenant's turn, and return their number."""
        taken = rows = size = 0
        while writes and taken < limit and rows < self.turn_rows and size < self.turn_bytes:
            queued, _ = writes.popitem(last=False)
            write = queued.write
            if not fits(write):
                _put_first(writes, queued)
                break
            taken += 1
            rows += write.row_count
            size += write.size
            use(queued)
        self._count -= taken
        return taken

    def _clear(self) -> None:
        """Forget the tenants, because none waits."""
        self._writes.clear()
        self._new.clear()
        self._had_a_turn.clear()
        self._overtaken.clear()


def _put_first(order: OrderedDict[T, None], item: T) -> None:
    order[item] = None
    order.move_to_end(item, last=False)
