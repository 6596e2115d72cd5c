"""The results and the progress of a transfer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from axon_storage.model.rows import ROW_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The rows of one tenant and table that are done so far, and the size of their text and JSON.

    ``bytes`` is counted as a database measures a text: in bytes or in characters.
    """

    table: str
    tenant: str
    rows: int
    bytes: int


ProgressCallback = Callable[[Progress], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferResult:
    """What was transferred: the number of rows of each table, and of the tenants that have them.

    ``deleted``: the number of rows that ``copy(…, delete_extra=True)`` deleted from the target.
    """

    tables: Mapping[str, int]
    tenants: int
    deleted: int = 0

    @property
    def rows(self) -> int:
        """The number of rows of all tables."""
        return sum(self.tables.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A row that differs. ``key``: its primary key without the tenant.

    ``reason``: ``"missing in target"``, ``"only in target"``, or ``"differs"``; then ``columns`` has the columns.
    """

    table: str
    tenant: str
    key: Mapping[str, Any]
    reason: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableComparison:
    """The comparison of the rows of one tenant in one table. The digests are equal if and only if all values are.

    ``differences``: the number of rows that differ. ``first``: the first of them, or None.
    """

    table: str
    tenant: str
    source_rows: int
    target_rows: int
    source_digest: str
    target_digest: str
    differences: int
    first: Difference | None

    @property
    def is_equal(self) -> bool:
        """Whether every value of every column is equal."""
        return self.source_digest == self.target_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """The comparisons of a :func:`axon_storage.transfer.verify`, for each tenant and table that has rows."""

    comparisons: tuple[TableComparison, ...]

    @property
    def is_equal(self) -> bool:
        """Whether every value of every row is equal, and no row is missing on either side.

        It is also True, without comparisons, if neither side has rows.
        """
        return all(comparison.is_equal for comparison in self.comparisons)

    @property
    def rows(self) -> int:
        """The number of rows in the source."""
        return sum(comparison.source_rows for comparison in self.comparisons)

    @property
    def first_differences(self) -> tuple[Difference, ...]:
        """The first row that differs, for each tenant and table with a difference."""
        return tuple(comparison.first for comparison in self.comparisons if comparison.first is not None)


@dataclass(slots=True)
class Tally:
    """Counts rows while they are transferred, and reports the progress."""

    callback: ProgressCallback | None
    rows: dict[str, int] = field(default_factory=lambda: {row_type.TABLE: 0 for row_type in ROW_TYPES})
    _tenants: set[str] = field(default_factory=set)
    _current: Progress | None = None

    def add(self, table: str, tenant: str, rows: int, size: int) -> None:
        """Count rows of a tenant in a table, and call the callback."""
        self.rows[table] += rows
        self._tenants.add(tenant)
        before = self._current
        if before is None or (before.table, before.tenant) != (table, tenant):
            before = Progress(table=table, tenant=tenant, rows=0, bytes=0)
        now = Progress(table=table, tenant=tenant, rows=before.rows + rows, bytes=before.bytes + size)
        self._current = now
        if self.callback is not None:
            self.callback(now)

    def result(self, *, deleted: int = 0) -> TransferResult:
        """Return what was counted."""
        return TransferResult(tables=dict(self.rows), tenants=len(self._tenants), deleted=deleted)
