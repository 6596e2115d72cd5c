"""Units of work that read, write and delete whole table rows, including the columns that are not fields of a row."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Executable, MetaData, Select, Table, bindparam, select

from axon_storage.dialects import Dialect
from axon_storage.encryption.cipher import DocumentCipher
from axon_storage.encryption.rows import RowCipher
from axon_storage.model.cached import cached
from axon_storage.model.requests import DeleteTableRows, ReadTablePage, TablePage, TableRequest, WriteTablePage
from axon_storage.model.rows import Row
from axon_storage.sql.plans import execute_save
from axon_storage.sql.statements import STATEMENT_ROWS, in_keys, key_executions, tenant_equals
from axon_storage.sql.tables import TABLES
from axon_storage.sql.types import JsonAsText, JsonDocument, LongText, unreadable
from axon_storage.sql.unit_of_work import UnitOfWork
from axon_storage.sql.writes import STATEMENT_BYTES

Values = dict[str, Any]
Parts = list[tuple[int, Values]]

_metadata = MetaData()


@cached
def whole_table(row_type: type[Row]) -> Table:
    """Return the table of a row type with JSON columns that are read and written as text.

    No column is marked as written once, so that an upsert replaces every column.
    """
    table = TABLES[row_type]
    columns = [
        Column(
            column.name,
            JsonAsText() if isinstance(column.type, JsonDocument) else column.type,
            primary_key=column.primary_key,
            nullable=column.nullable,
            autoincrement=False,
        )
        for column in table.c
    ]
    return Table(table.name, _metadata, *columns)


def key_columns(row_type: type[Row]) -> tuple[str, ...]:
    """Return the columns of the primary key after ``tenant_id``."""
    return row_type.KEY or ("id",)


def compile_table_request(
    dialect: Dialect, request: TableRequest[Any], cipher: DocumentCipher | None = None
) -> UnitOfWork[Any]:
    """Compile a request for whole rows. ``cipher``: None if their documents are read and written as they are stored."""
    rows = None if cipher is None else RowCipher(cipher, request.row_type, whole_table(request.row_type).c.keys())
    match request:
        case ReadTablePage():
            return read_page(dialect, request, rows)
        case WriteTablePage():
            return write_page(dialect, request, rows)
        case DeleteTableRows():
            return delete_rows(dialect, request)
    raise NotImplementedError(type(request).__name__)


def read_page(dialect: Dialect, request: ReadTablePage, cipher: RowCipher | None = None) -> UnitOfWork[TablePage]:
    """Read a page of rows. If the table has long columns, first read their sizes, to bound the size of the page."""
    row_type = request.row_type
    parts = parts_after(row_type, request.tenant, request.after)
    made = tuple if cipher is None else cipher.decrypt_text

    def run(connection: Connection) -> TablePage:
        limit, size = request.max_rows, 0
        if _long_columns(row_type):
            sizes = fetch_parts(connection, lambda number: select_sizes(dialect, row_type, number), parts, limit)
            limit, size = _fitting([row[0] for row in sizes], request)
        try:
            rows = fetch_parts(connection, lambda number: select_rows(row_type, number), parts, limit)
        except ValueError:
            raise unreadable(row_type.TABLE) from None
        return TablePage([made(row) for row in rows], size, is_last=len(rows) < limit)

    return UnitOfWork(run, writes=False, can_autocommit=True)


def write_page(dialect: Dialect, request: WriteTablePage, cipher: RowCipher | None = None) -> UnitOfWork[None]:
    """Insert rows, or replace every column of existing rows, in key order, as all writers do."""
    names = whole_table(request.row_type).c.keys()
    one, several = _upsert(dialect, request.row_type), _upsert_batch(dialect, request.row_type)
    rows = request.rows if cipher is None else [cipher.encrypt(row) for row in request.rows]
    chunks = [[dict(zip(names, row, strict=True)) for row in chunk] for chunk in _chunks(rows)]

    def run(connection: Connection) -> None:
        for chunk in chunks:
            if len(chunk) == 1:
                execute_save(dialect, connection, one, chunk[0])
            else:
                execute_save(dialect, connection, several, dialect.batch_parameters(chunk))

    return UnitOfWork(run, writes=True)


def delete_rows(dialect: Dialect, request: DeleteTableRows) -> UnitOfWork[int]:
    """Delete rows by their primary keys, which are in key order, as all writers lock rows."""
    statement = delete_by_key(dialect, request.row_type)
    others = {"tenant_id": request.tenant}
    executions = list(key_executions(dialect, key_columns(request.row_type), request.keys, others))

    def run(connection: Connection) -> int:
        return sum([connection.execute(statement, parameters).rowcount for parameters in executions])

    return UnitOfWork(run, writes=True)


def parts_after(row_type: type[Row], tenant: str, after: tuple[Any, ...]) -> Parts:
    """Split a page of a composite key: the rest of the last prefix, then the later prefixes.

    Each part is a range of the primary key's index. Databases do not use the index well for ``(a, b) > (:a, :b)``. A
    part is the number of key columns that equal those of the last row, and the parameters.
    """
    names = key_columns(row_type)
    if not after:
        return [(-1, {"tenant_id": tenant})]
    parameters = {"tenant_id": tenant, **dict(zip(names, after, strict=True))}
    return [
        (equal, {name: value for name, value in parameters.items() if name in {"tenant_id", *names[: equal + 1]}})
        for equal in reversed(range(len(names)))
    ]


def fetch_parts(connection: Connection, select_part: Any, parts: Parts, limit: int) -> list[Any]:
    """Read at most ``limit`` rows of the parts. ``select_part``: returns the SELECT for a number of equal columns."""
    rows: list[Any] = []
    for number, parameters in parts:
        if len(rows) < limit:
            rows += connection.execute(select_part(number), parameters | {"limit": limit - len(rows)}).all()
    return rows


def _fitting(sizes: Sequence[int], request: ReadTablePage) -> tuple[int, int]:
    """Return the limit with which a page has at most ``max_bytes``, but at least one row, and the size of its rows.

    If all rows fit, return ``max_rows``: rows that were inserted in the meantime must not look like the end.
    """
    total = 0
    for count, size in enumerate(sizes):
        if count and total + size > request.max_bytes:
            return count, total
        total += size
    return request.max_rows, total


@cached
def select_rows(row_type: type[Row], equal: int) -> Select[Any]:
    """Select all columns of the rows after a key.

    The first ``equal`` key columns equal the key's, and the next one is greater. -1: the first rows.
    """
    return page_of(row_type, list(whole_table(row_type).c), equal)


@cached
def select_sizes(dialect: Dialect, row_type: type[Row], equal: int) -> Select[Any]:
    """Select the sizes of the text and JSON of the rows that :func:`select_rows` selects."""
    return page_of(row_type, [row_size(dialect, row_type)], equal)


def row_size(dialect: Dialect, row_type: type[Row]) -> ColumnElement[int]:
    """Return the size of the text and JSON of a row."""
    first, *others = [dialect.stored_size(column) for column in _long_columns(row_type)]
    return sum(others, first)


def page_of(row_type: type[Row], columns: list[ColumnElement[Any]], equal: int) -> Select[Any]:
    """Select columns of the rows after a key, in key order. ``equal``: as for :func:`select_rows`."""
    table = whole_table(row_type)
    keys = [table.c[name] for name in key_columns(row_type)]
    conditions = [table.c["tenant_id"] == bindparam("tenant_id")]
    conditions += [key == bindparam(key.name) for key in keys[: max(equal, 0)]]
    if equal >= 0:
        conditions.append(keys[equal] > bindparam(keys[equal].name))
    return select(*columns).where(*conditions).order_by(*keys[max(equal, 0) :]).limit(bindparam("limit"))


@cached
def _long_columns(row_type: type[Row]) -> list[Column[Any]]:
    return [column for column in whole_table(row_type).c if isinstance(column.type, JsonAsText | LongText)]


@cached
def _upsert(dialect: Dialect, row_type: type[Row]) -> Executable:
    return dialect.upsert(whole_table(row_type))


@cached
def _upsert_batch(dialect: Dialect, row_type: type[Row]) -> Executable:
    return dialect.batch(_upsert(dialect, row_type), whole_table(row_type))


@cached
def delete_by_key(dialect: Dialect, row_type: type[Row]) -> Executable:
    """Delete rows by key."""
    table = whole_table(row_type)
    return dialect.delete(table, tenant_equals(table), in_keys(dialect, table, key_columns(row_type)))


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Split rows into chunks that one statement writes. The size of a row is the length of its strings."""
    start = size = 0
    for number, row in enumerate(rows):
        length = sum([len(value) for value in row if isinstance(value, str)])
        if number > start and (number - start == STATEMENT_ROWS or size + length > STATEMENT_BYTES):
            yield rows[start:number]
            start, size = number, 0
        size += length
    if rows:
        yield rows[start:]
