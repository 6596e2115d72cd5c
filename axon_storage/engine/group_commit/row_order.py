"""RowOrder: tracks which writes wait for earlier writes of the same rows.

Rules:

1. Each row has a linked list of its writes, in call order. A write stays in the lists of its rows until it has ended.
2. A write is blocked while it has a predecessor in one of its lists.
3. Adding or removing a write takes time proportional to its number of rows, independent of the number of other writes.
"""

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any, Generic, Self, TypeVar

from axon_storage.sql.writes import RowKey

NO_WRITES: Mapping[RowKey, Any] = MappingProxyType({})
"""The links of a write without neighbours. One object is shared, because the garbage collector counts each dict."""


class OrderedWrite:
    """A write with links to its neighbours in the lists of its rows.

    ``row_keys``: the rows that other writes may also save or delete. ``before``: by row, the next earlier write.
    ``after``: by row, the next later write.
    """

    __slots__ = ("after", "before", "row_keys")

    row_keys: Set[RowKey]
    before: Mapping[RowKey, Self]
    after: Mapping[RowKey, Self]


W = TypeVar("W", bound=OrderedWrite)


class RowOrder(Generic[W]):
    """A doubly linked list of writes per row. The links are stored in the writes."""

    def __init__(self) -> None:
        self._last: dict[RowKey, W] = {}

    def add(self, write: W) -> None:
        """Append a write to the lists of its rows."""
        if len(write.row_keys) == 1 or not self._last.keys().isdisjoint(write.row_keys):
            for row in write.row_keys:
                if (earlier := self._last.get(row)) is not None:
                    write.before = _with_link(write.before, row, earlier)
                    earlier.after = _with_link(earlier.after, row, write)
                self._last[row] = write
        else:
            self._last.update(dict.fromkeys(write.row_keys, write))

    def remove(self, write: W) -> list[W]:
        """Remove a write that has ended, and return the writes that are no longer blocked."""
        if not write.before and not write.after:
            for row in write.row_keys:
                del self._last[row]
            return []
        unblocked = []
        for row in write.row_keys:
            earlier, later = write.before.get(row), write.after.get(row)
            if earlier is not None:
                earlier.after = _with_link(earlier.after, row, later)
            if later is None:
                _with_link(self._last, row, earlier)
            else:
                later.before = _with_link(later.before, row, earlier)
                if not later.before:
                    unblocked.append(later)
        write.before = write.after = NO_WRITES
        return unblocked


def _with_link(links: Mapping[RowKey, W], row: RowKey, write: W | None) -> dict[RowKey, W]:
    """Set or remove the link of a row. Return ``links``, changed in place, or a new dict if it is ``NO_WRITES``."""
    linked = links if isinstance(links, dict) else {}
    if write is None:
        del linked[row]
    else:
        linked[row] = write
    return linked
