"""Batches: several prepared writes as one unit of work."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.exc import DBAPIError

from axon_storage.dialects import Dialect
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.sql import statements
from axon_storage.sql.tables import CREATED_ID, TABLES
from axon_storage.sql.unit_of_work import UnitOfWork
from axon_storage.sql.writes import STATEMENT_BYTES, STATEMENT_ROWS, PreparedWrite, RowKey, RowValues

T = TypeVar("T")

_ATTEMPTS = 10


def single(dialect: Dialect, write: PreparedWrite[T]) -> UnitOfWork[T]:
    """Convert one write into a unit of work."""
    unit = batch(dialect, [write])

    def run(connection: Connection) -> T:
        results: list[T] = unit.run(connection)
        return results[0]

    return UnitOfWork(run, writes=True, can_autocommit=unit.can_autocommit)


def batch(dialect: Dialect, writes: Sequence[PreparedWrite[Any]], *, lock_first: bool = False) -> UnitOfWork[list[Any]]:
    """Combine several writes into one unit of work, whose result is the list of their results.

    All saves run before all deletes, so a batch must not contain a save of a row after a delete of it. ``lock_first``:
    lock the rows with separate statements first, which fail immediately if a row is locked.
    """
    locks = _rows_to_lock(writes) if lock_first else {}
    saves = list(_save_statements(dialect, (row for write in writes for row in write.saves)))
    deletes = [(number, write.delete) for number, write in enumerate(writes) if write.delete is not None]
    deletes.sort(key=lambda numbered: numbered[1].sort_key)

    def run(connection: Connection) -> list[Any]:
        results = [write.result for write in writes]
        for table, keys in locks.items():
            for start in range(0, len(keys), STATEMENT_ROWS):
                dialect.lock_rows(connection, table, keys[start : start + STATEMENT_ROWS])
        for statement, parameters in saves:
            execute_save(dialect, connection, statement, parameters)
        for number, delete in deletes:
            results[number] = delete.run(connection)
        return results

    # A replace or delete that the server runs late could overwrite newer rows. Also, a list of parameters may be sent
    # as one statement per row.
    only_appends = not deletes and not writes[0].saves[0].row_type.KEY
    one_statement = len(saves) == 1 and not isinstance(saves[0][1], list)
    return UnitOfWork(run, writes=True, can_autocommit=only_appends and one_statement)


def execute_save(dialect: Dialect, connection: Connection, statement: Executable, parameters: Any) -> None:
    """Execute a save. Repeat it if a concurrent save makes it fail but leaves the transaction usable."""
    for _ in range(_ATTEMPTS):
        try:
            connection.execute(statement, parameters)
        except DBAPIError as error:
            if dialect.code(dialect.driver_error(error)) not in dialect.lost_race_codes:
                raise
        else:
            return
    connection.execute(statement, parameters)


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
                yield statements.save(dialect, row_type), rows[0]
            else:
                yield statements.save_batch(dialect, row_type), dialect.batch_parameters(rows)


def _merge(first: RowValues, last: RowValues) -> RowValues:
    """Merge two saves of a row: of appends, keep the first; otherwise the last, with the first's ``created_id``."""
    if not first.row_type.KEY:
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
    """Split rows into chunks of at most ``STATEMENT_ROWS`` rows and ``STATEMENT_BYTES`` bytes."""
    chunk: list[RowValues] = []
    size = 0
    for row in rows:
        if chunk and (len(chunk) == STATEMENT_ROWS or size + row.size > STATEMENT_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(row)
        size += row.size
    if chunk:
        yield chunk
