"""Writes the rows of a table to a Parquet file, with pyarrow, which is imported when it is used."""

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from axon_storage.errors import InvalidArgumentError
from axon_storage.model.ids import timestamp_of
from axon_storage.model.rows import Row
from axon_storage.sql.tables import CREATED_ID
from axon_storage.sql.transfer import whole_table
from axon_storage.sql.types import Flag, Float64, Int32, RowId, UInt32, UInt64, UtcTimestamp
from axon_storage.transfer.compression import file_errors

_GROUP_ROWS = 2**16
_GROUP_BYTES = 8 * 2**20
_TIMESTAMP = "timestamp_utc"


class TableFile:
    """The Parquet file of a table, in a folder. Call :meth:`discard` in any case, also if :meth:`open` fails.

    It has the columns of the table: JSON documents and ids are strings. Traces, whose timestamp is part of an id, also
    have the column ``timestamp_utc``.
    """

    _raw: IO[bytes]
    _writer: Any

    def __init__(self, folder: Path, row_type: type[Row]) -> None:
        self._path, self._table = folder / f"{row_type.TABLE}.parquet", whole_table(row_type)
        names = self._table.c.keys()
        self._created_id = names.index(CREATED_ID) if CREATED_ID in names else None
        self._id_places = [place for place, column in enumerate(self._table.c) if isinstance(column.type, RowId)]
        self._batches, self._rows, self._bytes = list[Any](), 0, 0

    def open(self) -> None:
        """Create the file."""
        arrow = pyarrow()
        self._schema = arrow.schema([arrow.field(*field) for field in self._fields(arrow)])
        with file_errors("create"):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._raw = os.fdopen(descriptor, "wb")
            self._writer = import_module("pyarrow.parquet").ParquetWriter(self._raw, self._schema, compression="zstd")

    def write_rows(self, rows: Sequence[tuple[Any, ...]], size: int) -> None:
        """Write table rows, whose text has this size. Several pages are one row group of the file."""
        columns = [list(column) for column in zip(*rows, strict=True)]
        if self._created_id is not None:
            columns.append([timestamp_of(row_id) for row_id in columns[self._created_id]])
        for place in self._id_places:
            columns[place] = [str(row_id) for row_id in columns[place]]
        arrow = pyarrow()
        arrays = [arrow.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._batches.append(arrow.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows, self._bytes = self._rows + len(rows), self._bytes + size
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._write_group()

    def finish(self) -> None:
        """Write the end of the file, and sync it to disk."""
        self._write_group()
        with file_errors("write"):
            self._writer.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
            self._raw.close()

    def discard(self) -> None:
        """Close the file."""
        with suppress(Exception):  # also if it was not opened
            self._writer.close()
        with suppress(Exception):
            self._raw.close()

    def _write_group(self) -> None:
        with file_errors("write"):
            self._writer.write_table(pyarrow().Table.from_batches(self._batches, self._schema), _GROUP_ROWS)
        self._batches, self._rows, self._bytes = [], 0, 0

    def _fields(self, arrow: Any) -> list[tuple[str, Any, bool]]:
        timestamp = arrow.timestamp("us", tz="UTC")
        kinds: dict[type, Any] = {
            UInt64: arrow.uint64(),
            UInt32: arrow.uint32(),
            Int32: arrow.int32(),
            Float64: arrow.float64(),
            Flag: arrow.bool_(),
            UtcTimestamp: timestamp,
        }
        fields = [
            (column.name, kinds.get(type(column.type), arrow.string()), bool(column.nullable))
            for column in self._table.c
        ]
        return fields if self._created_id is None else [*fields, (_TIMESTAMP, timestamp, False)]


def pyarrow() -> Any:
    """Return the package pyarrow; raise an InvalidArgumentError with a remedy if it is missing."""
    try:
        return import_module("pyarrow")
    except ImportError:
        raise InvalidArgumentError("Parquet needs the package pyarrow: pip install 'axon-storage[parquet]'") from None
