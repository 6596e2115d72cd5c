"""RowOrder: tracks which writes wait for earlier writes of the same rows.

Rules:

1. Each row has a linked list of its writes, in call order. A write stays in the lists of its rows until it has ended.
2. A write is blocked while it has a predecessor in one of its lists.
3. A delete of a range of keys is in no list. It has a separate link to each earlier write of a row in its range, and to
   each later one. The same applies to two deletes of overlapping ranges.
4. Adding or removing a write takes time proportional to its number of rows, independent of the number of other writes.
   Only the addition of a range takes time proportional to the number of rows that are being written, and so does, for
   each range, the addition of a write while ranges are being deleted.
"""

from collections.abc import Iterator, Mapping, Set
from itertools import count
from types import MappingProxyType
from typing import Any, Generic, Self, TypeVar

from axon_storage.sql.writes import KeyRange, RowKey

NO_WRITES: Mapping[RowKey, Any] = MappingProxyType({})
"""The links of a write without neighbours. One object is shared, because the garbage collector counts each dict."""


class OrderedWrite:
    """A write with links to its neighbours in the lists of its rows.

    ``row_keys``: the rows that other writes may also write. ``key_range``: the range of keys that it deletes.
    ``before``: by row, the next earlier write. ``after``: by row, the next later write. The links between a range and
    other writes have keys of their own there.
    """

    __slots__ = ("after", "before", "key_range", "row_keys")

    row_keys: Set[RowKey]
    key_range: KeyRange | None
    before: Mapping[RowKey, Self]
    after: Mapping[RowKey, Self]


W = TypeVar("W", bound=OrderedWrite)


class RowOrder(Generic[W]):
    """A doubly linked list of writes per row. The links are stored in the writes."""

    def __init__(self) -> None:
        self._last: dict[RowKey, W] = {}
        self._ranges: dict[int, tuple[KeyRange, W]] = {}
        self._link_numbers, self._links = count(), 0

    def add(self, write: W) -> None:
        """Append a write to the lists of its rows, and link it with ranges."""
        if self._ranges or write.key_range is not None:
            self._link_ranges(write)
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
        if write.key_range is not None:
            del self._ranges[id(write)]
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
        if self._links:
            unblocked += self._unlink_ranges(write)
        write.before = write.after = NO_WRITES
        return unblocked

    def _link_ranges(self, write: W) -> None:
        """Link a write with the earlier ranges that have one of its rows, and a range with all its earlier writes."""
        own = write.key_range
        for key_range, earlier in self._ranges.values():
            if key_range.overlaps(own) if own is not None else any(map(key_range.contains, write.row_keys)):
                self._link(earlier, write)
        if own is not None:
            # each write of a row, and not only its last one, because the last one may be cancelled
            lasts = [(row, last) for row, last in self._last.items() if own.contains(row)]
            for earlier in dict.fromkeys(each for row, last in lasts for each in _list_of(row, last)):
                self._link(earlier, write)
            self._ranges[id(write)] = own, write

    def _link(self, earlier: W, later: W) -> None:
        self._links += 1
        link: RowKey = ("", (next(self._link_numbers),))
        earlier.after = _with_link(earlier.after, link, later)
        later.before = _with_link(later.before, link, earlier)

    def _unlink_ranges(self, write: W) -> list[W]:
        """Remove the links between ranges and a write, and return the writes that are no longer blocked."""
        for link in write.before.keys() - write.row_keys:
            earlier = write.before[link]
            earlier.after = _with_link(earlier.after, link, None)
            self._links -= 1
        unblocked = []
        for link in write.after.keys() - write.row_keys:
            later = write.after[link]
            later.before = _with_link(later.before, link, None)
            self._links -= 1
            if not later.before:
                unblocked.append(later)
        return unblocked


def _list_of(row: RowKey, last: W) -> Iterator[W]:
    """Yield the writes of a row, the last one first."""
    write: W | None = last
    while write is not None:
        yield write
        write = write.before.get(row)


def _with_link(links: Mapping[RowKey, W], row: RowKey, write: W | None) -> dict[RowKey, W]:
    """Set or remove the link of a row. Return ``links``, changed in place, or a new dict if it is ``NO_WRITES``."""
    linked = links if isinstance(links, dict) else {}
    if write is None:
        del linked[row]
    else:
        linked[row] = write
    return linked
