"""Units of work that read envelopes as they are stored, and encrypt documents with another key."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Select, Update, bindparam, select, update

from axon_storage.dialects import Dialect
from axon_storage.encryption.cipher import DocumentCipher
from axon_storage.encryption.columns import document_columns
from axon_storage.encryption.rows import ReencryptedRows
from axon_storage.errors import QueryError
from axon_storage.model.cached import cached
from axon_storage.model.encrypted import (
    EncryptionRequest,
    ReadSamples,
    ReadStarts,
    ReencryptRows,
    StartPage,
    StartRow,
)
from axon_storage.model.rows import Row
from axon_storage.sql.transfer import fetch_parts, key_columns, page_of, parts_after, row_size, whole_table
from axon_storage.sql.unit_of_work import UnitOfWork

Names = tuple[str, ...]

_KEY, _NEW = "key_", "new_"
"""Prefixes of parameters: SQLAlchemy would also set a column that has the name of a parameter."""


def compile_encryption_request(
    dialect: Dialect, request: EncryptionRequest[Any], cipher: DocumentCipher | None
) -> UnitOfWork[Any]:
    """Compile a request about envelopes."""
    if cipher is None:
        raise QueryError("the storage was opened without a keyring", operation=request.operation)
    names = tuple([column.name for column in document_columns(request.row_type)])
    match request:
        case ReadStarts():
            return read_starts(dialect, request, names)
        case ReencryptRows():
            return reencrypt(request, names, cipher)
        case ReadSamples():
            return read_samples(request, names)
    raise NotImplementedError(type(request).__name__)


def read_starts(dialect: Dialect, request: ReadStarts, names: Names) -> UnitOfWork[StartPage]:
    """Read a page of keys, with the start of each document."""
    row_type, limit = request.row_type, request.max_rows
    parts = parts_after(row_type, request.tenant, request.after)
    keys = len(key_columns(row_type))

    def run(connection: Connection) -> StartPage:
        found = fetch_parts(connection, lambda number: _select_starts(dialect, row_type, names, number), parts, limit)
        rows = [StartRow(tuple(row[:keys]), tuple(row[keys:-1]), int(row[-1] or 0)) for row in found]
        return StartPage(rows, is_last=len(rows) < limit)

    return UnitOfWork(run, writes=False, can_autocommit=True)


def reencrypt(request: ReencryptRows, names: Names, cipher: DocumentCipher) -> UnitOfWork[int]:
    """Lock each row, encrypt its documents again, and update it: in key order, as all writers lock rows."""
    rows = ReencryptedRows(cipher, request.row_type, request.tenant, from_plaintext=request.from_plaintext)
    locked, changed = _lock(request.row_type, names), _update(request.row_type, names)

    def run(connection: Connection) -> int:
        count = 0
        for key in request.keys:
            parameters = _key_parameters(request.row_type, request.tenant, key)
            found = connection.execute(locked, parameters).one_or_none()
            new = None if found is None else rows.reencrypted(key, found)
            if new is not None:
                values = {_NEW + name: value for name, value in zip(names, new, strict=True)}
                connection.execute(changed, parameters | values)
                count += 1
        return count

    return UnitOfWork(run, writes=True)


def read_samples(request: ReadSamples, names: Names) -> UnitOfWork[Sequence[tuple[Any, ...]]]:
    """Read a few rows with their documents."""
    statement, parameters = _select_samples(request.row_type, names), {"limit": request.limit}

    def run(connection: Connection) -> Sequence[tuple[Any, ...]]:
        return [tuple(row) for row in connection.execute(statement, parameters)]

    return UnitOfWork(run, writes=False, can_autocommit=True)


def _key_parameters(row_type: type[Row], tenant: str, key: tuple[Any, ...]) -> dict[str, Any]:
    values = {"tenant_id": tenant, **dict(zip(key_columns(row_type), key, strict=True))}
    return {_KEY + name: value for name, value in values.items()}


def _columns(row_type: type[Row], names: Names) -> list[Column[Any]]:
    return [whole_table(row_type).c[name] for name in names]


@cached
def _select_starts(dialect: Dialect, row_type: type[Row], names: Names, equal: int) -> Select[Any]:
    starts = [dialect.text_start(column).label(column.name) for column in _columns(row_type, names)]
    size = row_size(dialect, row_type).label("size")
    return page_of(row_type, [*_columns(row_type, key_columns(row_type)), *starts, size], equal)


@cached
def _lock(row_type: type[Row], names: Names) -> Select[Any]:
    return select(*_columns(row_type, names)).where(*_is_row(row_type)).with_for_update()


@cached
def _update(row_type: type[Row], names: Names) -> Update:
    changed: dict[str, Any] = {name: bindparam(_NEW + name) for name in names}
    return update(whole_table(row_type)).where(*_is_row(row_type)).values(changed)


@cached
def _select_samples(row_type: type[Row], names: Names) -> Select[Any]:
    columns = _columns(row_type, ("tenant_id", *key_columns(row_type), *names))
    return select(*columns).limit(bindparam("limit"))


def _is_row(row_type: type[Row]) -> list[Any]:
    columns = _columns(row_type, ("tenant_id", *key_columns(row_type)))
    return [column == bindparam(_KEY + column.name) for column in columns]
