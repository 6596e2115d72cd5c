"""Prepared writes: the values that a write sends, computed when the call is made."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import Executable

from axon_storage.dialects import Dialect
from axon_storage.encryption.cipher import DocumentCipher
from axon_storage.encryption.rows import encrypted_values
from axon_storage.model.ids import EPOCH, Clock, IdSource, current_timestamp, timestamp_of
from axon_storage.model.requests import Append, Create, Delete, DeleteRange, Save
from axon_storage.model.rows import ROW_TYPES, CheckedRow, EventRow, Row
from axon_storage.sql import statements
from axon_storage.sql.plans import CreatePlan, DeletePlan, Plan, Values
from axon_storage.sql.statements import STATEMENT_ROWS
from axon_storage.sql.tables import CREATED_ID, EXPIRES_AT, TABLES, UPDATED_AT

T = TypeVar("T")
RowKey = tuple[str, tuple[Any, ...]]
"""The table and primary key of a row. Row keys sort in the database's order."""


class KeyRange(NamedTuple):
    """The rows of a table whose key is ``prefix``, then a value from ``start`` (None: the first) to before ``end``.

    The values are sort keys.
    """

    table: str
    prefix: tuple[Any, ...]
    start: Any | None
    end: Any | None

    def contains(self, row: RowKey) -> bool:
        """Return whether a row is in the range."""
        table, key = row
        if table != self.table or key[: len(self.prefix)] != self.prefix:
            return False
        value = key[len(self.prefix)]
        return (self.start is None or self.start <= value) and (self.end is None or value < self.end)

    def overlaps(self, other: "KeyRange") -> bool:
        """Return whether a row can be in both ranges. The prefixes must have the same length."""
        if (self.table, self.prefix) != (other.table, other.prefix):
            return False
        return _begins_before_end(self, other) and _begins_before_end(other, self)


def _begins_before_end(one: KeyRange, other: KeyRange) -> bool:
    return one.start is None or other.end is None or bool(one.start < other.end)


STATEMENT_BYTES = 2**20
"""The maximum size of the rows that one statement writes, in bytes. A single row may be larger."""

ROW_OVERHEAD = 1_000
"""The approximate size of a row without its text and JSON, in bytes."""

_NO_KEYS: Set[RowKey] = frozenset()
_WITH_CREATED_ID = frozenset(row_type for row_type in ROW_TYPES if CREATED_ID in TABLES[row_type].c)
_WITH_EXPIRY = frozenset(row_type for row_type in ROW_TYPES if EXPIRES_AT in TABLES[row_type].c)
_WITH_UPDATED_AT = frozenset(row_type for row_type in ROW_TYPES if UPDATED_AT in TABLES[row_type].c)


class RowValues(NamedTuple):
    """The values of all columns of a row to save.

    ``key``: its primary key in sortable form. ``size``: in bytes. ``keep``: if its key exists, store nothing.
    """

    row_type: type[Row]
    key: tuple[Any, ...]
    values: Values
    size: int
    keep: bool


@dataclass(slots=True)
class PreparedWrite(Generic[T]):
    """The rows that one call writes, and the call's result.

    ``tenant``: that of its rows. ``row_keys``: the keys of the rows that other writes may also write. ``row_count``,
    ``size``: the number of its rows and their size in bytes. ``result``: the return value of a save or an append.
    ``plan``: what a delete or a create does after the saves of its transaction; its result is the return value.
    ``key_range``: the rows that it deletes, if it deletes a range; ``lock``: a statement with parameters that locks
    them. ``event_time``: that of :class:`UnitOfWork`.
    """

    operation: str
    tenant: str
    result: T
    row_keys: Set[RowKey]
    row_count: int
    size: int
    saves: Sequence[RowValues] = ()
    plan: Plan | None = None
    key_range: KeyRange | None = None
    lock: tuple[Executable, Values] | None = None
    event_time: float = inf


@dataclass(frozen=True)
class Writes:
    """Prepares write requests.

    Ids, timestamps and encrypted documents are created here, so that a retry stores the same. ``clock``: returns
    nanoseconds since 1970. ``cipher``: encrypts documents; None if they are not encrypted.
    """

    dialect: Dialect
    clock: Clock
    new_id: IdSource
    cipher: DocumentCipher | None = None

    def append(self, request: Append) -> PreparedWrite[UUID]:
        """Prepare an append."""
        event_time = monotonic() if request.row.row_type is EventRow else inf
        row = self._row_values(request.row, request.id)
        # Only an id that the caller passed can also occur in another write.
        row_keys = _NO_KEYS if request.id is None else {(row.row_type.TABLE, row.key)}
        result = row.values["id"]
        return PreparedWrite(
            request.operation, request.tenant, result, row_keys, 1, row.size, [row], event_time=event_time
        )

    def save(self, request: Save) -> PreparedWrite[None]:
        """Prepare saves and appends."""
        # Rows with ids of their own are copies, which may take longer.
        has_events = any(row.row_type is EventRow and row.id is None for row in request.rows)
        event_time = monotonic() if has_events else inf
        rows = [self._row_values(row, row.id, keep=request.keep_existing) for row in request.rows]
        # A new id cannot occur in another write.
        known = [row for row, given in zip(rows, request.rows, strict=True) if row.row_type.KEY or given.id]
        row_keys = {(row.row_type.TABLE, row.key) for row in known}
        size = sum([row.size for row in rows])
        return PreparedWrite(
            request.operation, request.tenant, None, row_keys, len(rows), size, rows, event_time=event_time
        )

    def create(self, request: Create) -> PreparedWrite[bool]:
        """Prepare a create."""
        row = self._row_values(request.row, None)
        statement = statements.create(self.dialect, row.row_type)
        plan = CreatePlan((ROW_TYPES.index(row.row_type), *row.key), self.dialect, statement, row.values)
        row_keys = {(row.row_type.TABLE, row.key)}
        return PreparedWrite(request.operation, request.tenant, False, row_keys, 1, row.size, plan=plan)

    def delete(self, request: Delete) -> PreparedWrite[int]:
        """Prepare a delete. It deletes rows in the order in which all writers lock rows."""
        by_sort_key = {sort_key(value): value for value in request.last}
        order = sorted(by_sort_key)
        values = [by_sort_key[key] for key in order]
        if self.dialect.deletes_lists and is_run(order):
            return self._delete_run(request, values)
        chunks = [values[start : start + STATEMENT_ROWS] for start in range(0, len(values), STATEMENT_ROWS)]
        parameters = {"tenant_id": request.tenant, **request.prefix}
        statement, executions = statements.delete(self.dialect, request.row_type), list[Values | list[Values]]()
        if len(values) == 1:
            statement, executions = statements.delete_one(request.row_type), [parameters | {"last": values[0]}]
        elif self.dialect.deletes_lists:
            executions = [parameters | {"last": chunk} for chunk in chunks]
        else:
            executions = [[parameters | {"last": value} for value in chunk] for chunk in chunks]
        prefix = (request.tenant, *map(sort_key, request.prefix.values()))
        row_keys = {(request.row_type.TABLE, (*prefix, key)) for key in order}
        plan = DeletePlan(
            (ROW_TYPES.index(request.row_type), *prefix, *order[:1]),
            statement,
            executions,
        )
        size = len(row_keys) * ROW_OVERHEAD
        return PreparedWrite(request.operation, request.tenant, 0, row_keys, len(row_keys), size, plan=plan)

    def delete_range(self, request: DeleteRange) -> PreparedWrite[int]:
        """Prepare a delete of a range of keys. It has the maximum number of rows, so that it is sent alone."""
        row_type, names = request.row_type, (tuple(request.prefix), tuple(request.bounds))
        prefix = (request.tenant, *map(sort_key, request.prefix.values()))
        start, end = (sort_key(request.bounds.get(name)) for name in ("at_least", "below"))
        if "at_most" in request.bounds:
            end = sort_key(request.bounds["at_most"]) + 1
        parameters = {"tenant_id": request.tenant, **request.prefix, **request.bounds}
        statement = statements.delete_range(self.dialect, row_type, *names)
        return PreparedWrite(
            request.operation,
            request.tenant,
            0,
            _NO_KEYS,
            STATEMENT_ROWS,
            ROW_OVERHEAD,
            plan=DeletePlan((ROW_TYPES.index(row_type), *prefix), statement, [parameters]),
            key_range=KeyRange(row_type.TABLE, prefix, start, end),
            lock=(statements.lock_range(row_type, *names), parameters),
        )

    def _delete_run(self, request: Delete, values: Sequence[int]) -> PreparedWrite[int]:
        """Prepare a delete of consecutive integers as that of a range, which takes less work and no set of keys."""
        bounds = {"at_least": values[0], "at_most": values[-1]}
        return self.delete_range(
            DeleteRange(
                operation=request.operation,
                tenant=request.tenant,
                row_type=request.row_type,
                prefix=request.prefix,
                bounds=bounds,
            )
        )

    def _row_values(self, row: CheckedRow, row_id: UUID | None, *, keep: bool = False) -> RowValues:
        """Return the values of all columns, as they are stored."""
        made = self._with_columns(row, row_id, keep=keep)
        return made if self.cipher is None else _encrypted(self.cipher, made)

    def _with_columns(self, row: CheckedRow, row_id: UUID | None, *, keep: bool) -> RowValues:
        """Add the columns that are not fields of the row."""
        row_type, values, size = row.row_type, row.values, row.size + ROW_OVERHEAD
        if not row_type.KEY:
            values["id"] = row_id = row_id or self.new_id()
            values["timestamp_utc"] = timestamp_of(row_id)
            return RowValues(row_type, (values["tenant_id"], row_id.int), values, size, keep=True)
        if row_type in _WITH_CREATED_ID:
            values[CREATED_ID] = row_id or self.new_id()
        if row_type in _WITH_EXPIRY:
            values[EXPIRES_AT] = self._expiry(values["ttl_secs"])
        if row_type in _WITH_UPDATED_AT:
            values[UPDATED_AT] = current_timestamp(self.clock)
        key = [sort_key(values[name]) for name in row_type.KEY]
        return RowValues(row_type, (values["tenant_id"], *key), values, size, keep)

    def _expiry(self, ttl_secs: int | None) -> datetime | None:
        if ttl_secs is None:
            return None
        # With 0 or less the entry expires in 1970 and not now, because the clock may be set back.
        return current_timestamp(self.clock) + timedelta(seconds=ttl_secs) if ttl_secs > 0 else EPOCH


def _encrypted(cipher: DocumentCipher, row: RowValues) -> RowValues:
    values = encrypted_values(cipher, row.row_type, row.values)
    growth = sum([len(values[name]) - len(row.values[name]) for name, _ in cipher.columns(row.row_type)])
    return row._replace(values=values, size=row.size + growth)


def is_run(order: Sequence[Any]) -> bool:
    """Return whether sorted sort keys are consecutive integers, and more of them than one statement takes in a list."""
    return len(order) > STATEMENT_ROWS and isinstance(order[0], int) and order[-1] - order[0] == len(order) - 1


def sort_key(value: Any) -> Any:
    """Return the sort key of a key field's value in database order: integers above 2^63-1 are stored as negative.

    All writers lock rows in this order, which prevents deadlocks between them.
    """
    return value - 2**64 if isinstance(value, int) and value >= 2**63 else value
