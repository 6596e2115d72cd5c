"""Requests: one class for each kind of call, with its validated arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from axon_storage.model.rows import CheckedRow, Recorded, Row
from axon_storage.model.summaries import Summary

T = TypeVar("T")
R = TypeVar("R", bound=Row)
S = TypeVar("S", bound=Summary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """A call: the name of the public method, the tenant, and the validated arguments. T is the type of the result."""

    operation: str
    tenant: str

    @property
    def table(self) -> str | None:
        """The table that the call is about, or None if there are several."""
        row_type: type[Row] | None = getattr(self, "row_type", None)
        return None if row_type is None else row_type.TABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest(Request[T]):
    """A write whose row keys, or range of keys, are known in advance, so that it can be ordered among others.

    Of the other requests, :class:`EvictExpired` and those of prune and erase runs change rows too.
    """

    @property
    def stored_rows(self) -> int:
        """The number of rows that the call stores."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Save(WriteRequest[None]):
    """Store rows of any types, in order and atomically. ``keep_existing``: leave the rows whose keys exist.

    An append-only row is never replaced. A trace that is replaced keeps its id.
    """

    rows: Sequence[CheckedRow]
    keep_existing: bool = False

    @property
    def table(self) -> str | None:  # noqa: D102  # documented in the base class
        tables = {row.row_type.TABLE for row in self.rows}
        return tables.pop() if len(tables) == 1 else None

    @property
    def stored_rows(self) -> int:  # noqa: D102  # documented in the base class
        return len(self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(WriteRequest[bool]):
    """Insert a row unless its key exists, and return whether it was inserted."""

    row: CheckedRow

    @property
    def table(self) -> str:  # noqa: D102  # documented in the base class
        return self.row.row_type.TABLE

    @property
    def stored_rows(self) -> int:  # noqa: D102  # documented in the base class
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Append(WriteRequest[UUID]):
    """Insert a row with ``id`` (None: a new id). Do nothing if a row with this id exists."""

    row: CheckedRow
    id: UUID | None

    @property
    def table(self) -> str:  # noqa: D102  # documented in the base class
        return self.row.row_type.TABLE

    @property
    def stored_rows(self) -> int:  # noqa: D102  # documented in the base class
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Get(Request[R | None], Generic[R]):
    """Return the row with a key, or None. An expired result is not returned."""

    row_type: type[R]
    key: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListByKey(Request[list[R]], Generic[R]):
    """Return the rows whose key begins with ``prefix``, in key order or backwards, at most ``limit`` (None: all).

    ``bounds``: limits of the key field after the prefix: ``at_least`` (included), ``above`` and ``below`` (excluded).
    Expired results are left out.
    """

    row_type: type[R]
    prefix: Mapping[str, Any]
    bounds: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    reverse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListByKeys(Request[list[R]], Generic[R]):
    """Return the rows whose key is ``prefix`` plus one of the values ``last``, in key order or backwards."""

    row_type: type[R]
    prefix: Mapping[str, Any]
    last: Sequence[Any]
    reverse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListNewest(Request[list[R]], Generic[R]):
    """Return rows whose fields equal ``where``, newest first, with limit and offset."""

    row_type: type[R]
    where: Mapping[str, Any]
    limit: int
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage(Request[list[Recorded[R]]], Generic[R]):
    """Return the first ``limit`` rows with ids between ``after`` and ``before`` whose fields equal ``where``.

    Both bounds are excluded, here and in the requests below. ``reverse``: the newest first.
    """

    row_type: type[R]
    where: Mapping[str, Any]
    after: UUID
    before: UUID
    limit: int
    reverse: bool = False


class RecentIds(NamedTuple):
    """The result of :class:`ListRecentIds`. ``horizon``: the smallest id of the moment ``seconds`` before the call."""

    ids: Sequence[UUID]
    horizon: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRecentIds(Request[RecentIds]):
    """Return the ids between ``after`` (None: the horizon) and ``before`` of the rows whose fields equal ``where``."""

    row_type: type[Row]
    where: Mapping[str, Any]
    after: UUID | None
    before: UUID
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ListByIds(Request[list[Recorded[R]]], Generic[R]):
    """Return the rows with these ids, at most 1,000, in the order of the ids."""

    row_type: type[R]
    ids: Sequence[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summarize(Request[list[S]], Generic[S]):
    """Return counts and sums of the rows with ids between ``after`` and ``before`` whose fields equal ``where``.

    ``by``: the names of the groups, and of a period.
    """

    summary_type: type[S]
    by: tuple[str, ...]
    where: Mapping[str, Any]
    after: UUID
    before: UUID

    @property
    def table(self) -> str:  # noqa: D102  # documented in the base class
        return self.summary_type.ROW.TABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(WriteRequest[int]):
    """Delete the rows whose key is ``prefix`` plus one of the values ``last``, and return their number."""

    row_type: type[Row]
    prefix: Mapping[str, Any]
    last: Sequence[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRange(WriteRequest[int]):
    """Delete the rows whose key begins with ``prefix`` and is within the bounds, and return their number.

    ``bounds``: as in :class:`ListByKey`.
    """

    row_type: type[Row]
    prefix: Mapping[str, Any]
    bounds: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictExpired(Request[int]):
    """Delete the expired rows, and return their number."""

    row_type: type[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListScopes(Request[list[str]]):
    """Return the distinct values of the first key field within the bounds, sorted, at most ``limit`` (None: all)."""

    row_type: type[Row]
    bounds: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListTenants(Request[list[str]]):
    """Return the tenants that have rows, sorted. Only this request reads rows of all tenants."""


@dataclass(frozen=True, slots=True)
class TablePage:
    """Rows of a tenant in one table, in primary key order.

    ``rows``: the values of all columns, in the order of the table, with JSON documents as text. ``size``: the size of
    the texts and documents, measured as the database does. ``is_last``: no row follows.
    """

    rows: list[tuple[Any, ...]]
    size: int
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRequest(Request[T]):
    """A request for whole rows of a tenant and a table, with the columns that are not fields."""

    row_type: type[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTablePage(TableRequest[TablePage]):
    """Return the rows whose primary key follows ``after`` (empty: the first rows).

    The page has at most ``max_rows`` rows, and ends at the row with which it reaches ``max_bytes``.
    """

    after: tuple[Any, ...]
    max_rows: int
    max_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteTablePage(TableRequest[None]):
    """Insert rows, or replace every column of the rows with their primary keys. ``rows``: as in :class:`TablePage`."""

    rows: Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteTableRows(TableRequest[int]):
    """Delete rows by their primary keys without the tenant, and return their number."""

    keys: Sequence[tuple[Any, ...]]
