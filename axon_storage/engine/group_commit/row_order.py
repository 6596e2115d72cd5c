"""RowOrder: which writes wait for earlier writes of the same rows.

Rules:

1. The writes of a row form a list, in the order of their calls. A write stays in the lists of its rows until it has
   ended.
2. A write is blocked while another write stands before it in one of its lists.
3. Adding and removing a write takes time in proportion to its own rows, however many other writes there are.
"""

from collections.abc import Mapping, Set
from types import MappingProxyType
from typing import Any, Generic, Self, TypeVar

from axon_storage.sql.writes import RowKey

NO_WRITES: Mapping[RowKey, Any] = MappingProxyType({})
"""Shared by all writes without neighbours: a dict for each would be counted by the garbage collector."""


class OrderedWrite:
    """A write in the lists of its rows.

    ``row_keys``: the rows that it replaces or deletes. ``before``: by row, the next earlier write. ``after``: by row,
    the next later write.
    """

    __slots__ = ("after", "before", "row_keys")

    row_keys: Set[RowKey]
    before: Mapping[RowKey, Self]
    after: Mapping[RowKey, Self]


W = TypeVar("W", bound=OrderedWrite)


class RowOrder(Generic[W]):
    """A list of writes for each row that has any; the writes themselves hold the links."""

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
    """Set a row's link, or remove it; change ``links`` in place if it is a dict, and return it or a new dict."""
    linked = links if isinstance(links, dict) else {}
    if write is None:
        del linked[row]
    else:
        linked[row] = write
    return linked
