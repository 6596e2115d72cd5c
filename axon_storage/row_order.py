"""The order in which writes of one row take effect: each waits for the earlier ones, in the order of their calls."""

from collections.abc import Set
from typing import Generic, Self, TypeVar

from axon_storage.writes import Place


class OrderedWrite:
    """A write with the rows that it replaces or deletes, and its neighbours among the writes of each of them.

    ``before``: by row, the write to wait for. ``after``: by row, the write that waits for this one.
    """

    __slots__ = ("after", "before", "rows")

    rows: Set[Place]
    before: dict[Place, Self]
    after: dict[Place, Self]


W = TypeVar("W", bound=OrderedWrite)


class RowOrder(Generic[W]):
    """A list of writes for each row that has any, linked through the writes themselves.

    Adding and removing a write takes time with its rows, however many other writes there are.
    """

    def __init__(self) -> None:
        self._last: dict[Place, W] = {}

    def add(self, write: W) -> None:
        """Put a write behind all others of its rows."""
        for row in write.rows:
            earlier = self._last.get(row)
            if earlier is not None:
                write.before[row], earlier.after[row] = earlier, write
            self._last[row] = write

    def remove(self, write: W) -> list[W]:
        """Take out a write that has ended or was given up; give those that now wait for no other."""
        if not write.before and not write.after:
            for row in write.rows:
                del self._last[row]
            return []
        free = []
        for row in write.rows:
            earlier, later = write.before.pop(row, None), write.after.pop(row, None)
            if earlier is not None:
                _link(earlier.after, row, later)
            if later is None:
                _link(self._last, row, earlier)
            else:
                _link(later.before, row, earlier)
                if not later.before:
                    free.append(later)
        return free


def _link(links: dict[Place, W], row: Place, write: W | None) -> None:
    if write is None:
        del links[row]
    else:
        links[row] = write
