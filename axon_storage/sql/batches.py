"""Batches: several prepared writes as one unit of work."""

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Table, select
from sqlalchemy.exc import DBAPIError

from axon_storage.dialects import Dialect
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.sql import statements
from axon_storage.sql.plans import execute_save
from axon_storage.sql.statements import STATEMENT_ROWS
from axon_storage.sql.tables import CREATED_ID, TABLES
from axon_storage.sql.unit_of_work import SingleStatement, UnitOfWork
from axon_storage.sql.writes import STATEMENT_BYTES, PreparedWrite, RowKey, RowValues

T = TypeVar("T")

_ATTEMPTS = 10


def single(dialect: Dialect, write: PreparedWrite[T]) -> UnitOfWork[T]:
    """Convert one write into a unit of work."""
    return batch(dialect, [write]).then(itemgetter(0))


def batch(dialect: Dialect, writes: Sequence[PreparedWrite[Any]], *, lock_first: bool = False) -> UnitOfWork[list[Any]]:
    """Combine several writes into one unit of work, whose result is the list of their results.

    All saves run before all plans, so a batch must not contain a write of a row after one that has a plan for it.
    ``lock_first``: lock the rows with separate statements first, which fail immediately if a row is locked.
    """
    locks = _rows_to_lock(writes) if lock_first else {}
    range_locks = [write.lock for write in writes if write.lock is not None] if lock_first else []
    saves = list(_save_statements(dialect, (row for write in writes for row in write.saves)))
    plans = [(number, write.plan) for number, write in enumerate(writes) if write.plan is not None]
    plans.sort(key=lambda numbered: numbered[1].sort_key)

    def run(connection: Connection) -> list[Any]:
        results = [write.result for write in writes]
        for table, keys in locks.items():
            for start in range(0, len(keys), STATEMENT_ROWS):
                dialect.lock_rows(connection, table, keys[start : start + STATEMENT_ROWS])
        for statement, parameters in range_locks:
            connection.execute(statement, parameters).all()
        for statement, parameters in saves:
            _execute_save(dialect, connection, statement, parameters)
        for number, plan in plans:
            results[number] = plan.run(connection)
        return results

    # A replace or delete that the server runs late could overwrite newer rows. Also, a list of parameters may be sent
    # as one statement per row.
    only_appends = not plans and not writes[0].saves[0].row_type.KEY
    one_statement = len(saves) == 1 and dialect.is_one_statement(saves[0][1])
    event_time = min([write.event_time for write in writes])
    tenants = {write.tenant for write in writes}
    # If locks are held elsewhere, only a transaction limits the wait for the same id in another transaction.
    waits_briefly = not dialect.brief_lock_waits_elsewhere or not any(write.row_keys for write in writes)
    can_autocommit = only_appends and one_statement and waits_briefly
    unit = UnitOfWork(run, writes=True, can_autocommit=can_autocommit, event_time=event_time, tenants=tenants)
    if dialect.sends_directly and len(writes) == 1 and (one_statement or not saves):
        unit.single = _single_statement(writes[0], saves)
    return unit


def _single_statement(
    write: PreparedWrite[Any], saves: Sequence[tuple[Executable, Any]]
) -> SingleStatement[list[Any]] | None:
    """Return the statement of a write that has only one, and its result as a list."""
    if not saves:
        return None if write.plan is None else write.plan.single()
    statement, parameters = saves[0]
    return SingleStatement(statement, parameters, lambda _: [write.result]) if write.plan is None else None


def _execute_save(dialect: Dialect, connection: Connection, statement: Any, parameters: Any) -> None:
    """Execute a save. If it fails because some of its keys exist, store the rows whose keys do not."""
    for _ in range(_ATTEMPTS):
        try:
            execute_save(dialect, connection, statement, parameters)
        except DBAPIError as error:
            if not dialect.is_existing_key(dialect.driver_error(error)):
                raise
            # another session may insert one of the others before the next attempt
            rows = parameters if isinstance(parameters, list) else [parameters]
            parameters = _without_existing(dialect, connection, statement.table, rows)
            if not parameters:
                return
        else:
            return
    execute_save(dialect, connection, statement, parameters)


def _without_existing(
    dialect: Dialect, connection: Connection, table: Table, rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows whose keys do not exist."""
    names = [column.name for column in table.primary_key]
    keys = {tuple([row[name] for name in names]): row for row in rows}
    existing = select(*table.primary_key).where(dialect.in_keys(list(table.primary_key)))
    for parameters in dialect.key_parameters(names, list(keys)):
        for key in connection.execute(existing, parameters):
            del keys[tuple(key)]
    return list(keys.values())


def _save_statements(dialect: Dialect, saves: Iterable[RowValues]) -> Iterator[tuple[Executable, Any]]:
    """Yield statements with their parameters, ordered by table and key. All writers use this order."""
    by_type: dict[type[Row], dict[tuple[Any, ...], RowValues]] = {}
    for row in saves:
        by_key = by_type.setdefault(row.row_type, {})
        by_key[row.key] = _merge(by_key[row.key], row) if row.key in by_key else row
    for row_type in ROW_TYPES if len(by_type) > 1 else by_type:
        by_key = by_type.get(row_type, {})
        for chunk in _chunks([by_key[key] for key in sorted(by_key)]):
            rows = [row.values for row in chunk]
            if len(rows) == 1:
                yield statements.save(dialect, row_type, keep=chunk[0].keep), rows[0]
            else:
                statement = statements.save_batch(dialect, row_type, keep=chunk[0].keep)
                yield statement, dialect.batch_parameters(rows)


def _merge(first: RowValues, last: RowValues) -> RowValues:
    """Merge two saves of a row: if the last keeps existing rows, the first; else the last with its ``created_id``."""
    if last.keep:
        return first
    if CREATED_ID in first.values:
        # A copy, because the last write may be sent again without the first, with its original values.
        return last._replace(values=last.values | {CREATED_ID: first.values[CREATED_ID]})
    return last


def _rows_to_lock(writes: Sequence[PreparedWrite[Any]]) -> dict[Table, list[tuple[Any, ...]]]:
    """Return the keys of the rows that the writes replace or delete, sorted and grouped by table."""
    row_keys = sorted(set[RowKey]().union(*[write.row_keys for write in writes]))
    keys = {row_type.TABLE: list[tuple[Any, ...]]() for row_type in ROW_TYPES}
    for table, key in row_keys:
        keys[table].append(key)
    return {TABLES[row_type]: keys[row_type.TABLE] for row_type in ROW_TYPES if row_type.KEY and keys[row_type.TABLE]}


def _chunks(rows: Sequence[RowValues]) -> Iterator[list[RowValues]]:
    """Split rows into chunks of one statement: at most ``STATEMENT_ROWS`` rows and ``STATEMENT_BYTES`` bytes.

    The rows stay in order, so that all writers lock rows in the same order.
    """
    chunk: list[RowValues] = []
    size = 0
    for row in rows:
        is_full = len(chunk) == STATEMENT_ROWS or size + row.size > STATEMENT_BYTES
        if chunk and (is_full or row.keep != chunk[0].keep):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += row.size
    if chunk:
        yield chunk
