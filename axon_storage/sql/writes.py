"""Prepared writes: the values that a save, an append or a delete sends, computed when the call is made."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy import Delete as DeleteStatement

from axon_storage.dialects import Dialect
from axon_storage.model.ids import EPOCH, Clock, IdSource, current_timestamp, timestamp_of
from axon_storage.model.requests import Append, Delete, Save
from axon_storage.model.rows import ROW_TYPES, CheckedRow, EventRow, Row
from axon_storage.sql import statements
from axon_storage.sql.tables import CREATED_ID, EXPIRES_AT, TABLES

T = TypeVar("T")
Values = dict[str, Any]

RowKey = tuple[str, tuple[Any, ...]]
"""The table and primary key of a row. Row keys sort in the database's order."""

STATEMENT_ROWS = 1_000
"""The maximum number of rows that one statement writes."""

STATEMENT_BYTES = 2**20
"""The maximum size of the rows that one statement writes, in bytes. A single row may be larger."""

ROW_OVERHEAD = 1_000
"""The approximate size of a row without its text and JSON, in bytes."""

_NO_KEYS: Set[RowKey] = frozenset()
_WITH_CREATED_ID = frozenset(row_type for row_type in ROW_TYPES if CREATED_ID in TABLES[row_type].c)
_WITH_EXPIRY = frozenset(row_type for row_type in ROW_TYPES if EXPIRES_AT in TABLES[row_type].c)


class RowValues(NamedTuple):
    """The values of all columns of a row to save. ``key``: its primary key in sortable form. ``size``: in bytes."""

    row_type: type[Row]
    key: tuple[Any, ...]
    values: Values
    size: int


class DeletePlan(NamedTuple):
    """A DELETE statement and the parameters of its executions. The deletes of a batch run in order of ``sort_key``."""

    sort_key: tuple[Any, ...]
    statement: DeleteStatement
    executions: list[Values | list[Values]]

    def run(self, connection: Connection) -> int:
        """Delete, and return the number of deleted rows."""
        return sum([connection.execute(self.statement, parameters).rowcount for parameters in self.executions])


@dataclass(slots=True)
class PreparedWrite(Generic[T]):
    """The rows that one call saves or deletes, and the call's result.

    ``row_keys``: the keys of the rows that other writes may also save or delete. ``row_count``, ``size``: the number of
    its rows and their size in bytes. ``result``: the return value of a save or an append. A delete returns the number
    of deleted rows instead. ``event_time``: that of :class:`UnitOfWork`.
    """

    operation: str
    result: T
    row_keys: Set[RowKey]
    row_count: int
    size: int
    saves: Sequence[RowValues] = ()
    delete: DeletePlan | None = None
    event_time: float = inf


@dataclass(frozen=True)
class Writes:
    """Prepares write requests.

    Ids and timestamps are created here, so that a retry stores the same. ``clock``: returns nanoseconds since 1970.
    """

    dialect: Dialect
    clock: Clock
    new_id: IdSource

    def append(self, request: Append) -> PreparedWrite[UUID]:
        """Prepare an append."""
        event_time = monotonic() if request.row.row_type is EventRow else inf
        row = self._row_values(request.row, request.id)
        # Only an id that the caller passed can also occur in another write.
        row_keys = _NO_KEYS if request.id is None else {(row.row_type.TABLE, row.key)}
        return PreparedWrite(request.operation, row.values["id"], row_keys, 1, row.size, [row], None, event_time)

    def save(self, request: Save) -> PreparedWrite[None]:
        """Prepare saves and appends."""
        # Rows with ids of their own are copies, which may take longer.
        has_events = any(row.row_type is EventRow and row.id is None for row in request.rows)
        event_time = monotonic() if has_events else inf
        rows = [self._row_values(row, row.id) for row in request.rows]
        # A new id cannot occur in another write.
        known = [row for row, given in zip(rows, request.rows, strict=True) if row.row_type.KEY or given.id]
        row_keys = {(row.row_type.TABLE, row.key) for row in known}
        size = sum([row.size for row in rows])
        return PreparedWrite(request.operation, None, row_keys, len(rows), size, rows, None, event_time)

    def delete(self, request: Delete) -> PreparedWrite[int]:
        """Prepare a delete. It deletes rows in the order in which all writers lock rows."""
        by_sort_key = {sort_key(value): value for value in request.last}
        order = sorted(by_sort_key)
        values = [by_sort_key[key] for key in order]
        chunks = [values[start : start + STATEMENT_ROWS] for start in range(0, len(values), STATEMENT_ROWS)]
        parameters = {"tenant_id": request.tenant, **request.prefix}
        executions: list[Values | list[Values]] = (
            [parameters | {"last": chunk} for chunk in chunks]
            if self.dialect.deletes_lists
            else [[parameters | {"last": value} for value in chunk] for chunk in chunks]
        )
        prefix = (request.tenant, *map(sort_key, request.prefix.values()))
        row_keys = {(request.row_type.TABLE, (*prefix, key)) for key in order}
        plan = DeletePlan(
            (ROW_TYPES.index(request.row_type), *prefix, *order[:1]),
            statements.delete(self.dialect, request.row_type),
            executions,
        )
        size = len(row_keys) * ROW_OVERHEAD
        return PreparedWrite(request.operation, 0, row_keys, len(row_keys), size, delete=plan)

    def _row_values(self, row: CheckedRow, row_id: UUID | None) -> RowValues:
        """Add the columns that are not fields of the row."""
        row_type, values, size = row.row_type, row.values, row.size + ROW_OVERHEAD
        if not row_type.KEY:
            values["id"] = row_id = row_id or self.new_id()
            values["timestamp_utc"] = timestamp_of(row_id)
            return RowValues(row_type, (values["tenant_id"], row_id.int), values, size)
        if row_type in _WITH_CREATED_ID:
            values[CREATED_ID] = row_id or self.new_id()
        if row_type in _WITH_EXPIRY:
            values[EXPIRES_AT] = self._expiry(values["ttl_secs"])
        key = [sort_key(values[name]) for name in row_type.KEY]
        return RowValues(row_type, (values["tenant_id"], *key), values, size)

    def _expiry(self, ttl_secs: int | None) -> datetime | None:
        if ttl_secs is None:
            return None
        # With 0 or less the entry expires in 1970 and not now, because the clock may be set back.
        return current_timestamp(self.clock) + timedelta(seconds=ttl_secs) if ttl_secs > 0 else EPOCH


def sort_key(value: Any) -> Any:
    """Return the sort key of a key field's value in database order: integers above 2^63-1 are stored as negative.

    All writers lock rows in this order, which prevents deadlocks between them.
    """
    return value - 2**64 if isinstance(value, int) and value >= 2**63 else value
