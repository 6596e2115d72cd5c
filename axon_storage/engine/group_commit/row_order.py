"""The order in which writes of one row take effect: each waits for the earlier ones, in the order of their calls."""

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any, Generic, Self, TypeVar

from axon_storage.sql.writes import RowKey

NO_WRITES: Mapping[RowKey, Any] = MappingProxyType({})
"""The neighbours of a write that has none: a dict less for the garbage collector to count."""


class OrderedWrite:
    """A write with the rows that it replaces or deletes, and its neighbours among the writes of each of them.

    ``before``: by row, the write to wait for. ``after``: by row, the write that waits for this one.
    """

    __slots__ = ("after", "before", "rows")

    rows: Set[RowKey]
    before: Mapping[RowKey, Self]
    after: Mapping[RowKey, Self]


W = TypeVar("W", bound=OrderedWrite)


class RowOrder(Generic[W]):
    """A list of writes for each row that has any, linked through the writes themselves.

    Adding and removing a write takes time with its rows, however many other writes there are.
    """

    def __init__(self) -> None:
        self._last: dict[RowKey, W] = {}

    def add(self, write: W) -> None:
        """Put a write behind all others of its rows."""
        if len(write.rows) == 1 or not self._last.keys().isdisjoint(write.rows):
            for row in write.rows:
                if (earlier := self._last.get(row)) is not None:
                    write.before = _linked(write.before, row, earlier)
                    earlier.after = _linked(earlier.after, row, write)
                self._last[row] = write
        else:
            self._last.update(dict.fromkeys(write.rows, write))

    def remove(self, write: W) -> list[W]:
        """Take out a write that has ended or was given up; give those that now wait for no other."""
        if not write.before and not write.after:
            for row in write.rows:
                del self._last[row]
            return []
        free = []
        for row in write.rows:
            earlier, later = write.before.get(row), write.after.get(row)
            if earlier is not None:
                earlier.after = _linked(earlier.after, row, later)
            if later is None:
                _linked(self._last, row, earlier)
            else:
                later.before = _linked(later.before, row, earlier)
                if not later.before:
                    free.append(later)
        write.before = write.after = NO_WRITES
        return free


def _linked(links: Mapping[RowKey, W], row: RowKey, write: W | None) -> dict[RowKey, W]:
    """Give links, in place where they are a dict, with another write for a row, or none."""
    linked = links if isinstance(links, dict) else {}
    if write is None:
        del linked[row]
    else:
        linked[row] = write
    return linked
