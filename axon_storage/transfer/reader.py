"""Reads an export file, and checks its structure and its checksum."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import IO, TypeVar

from axon_storage.errors import InvalidArgumentError
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.transfer.compression import check_suffix, decompressed, file_errors
from axon_storage.transfer.lines import TableRow, check_header, parse_row, refuse, trailer_line
from axon_storage.transfer.pages import PAGE_BYTES, PAGE_ROWS, key_indexes, sortable_key
from axon_storage.transfer.pipes import Pipe, pipe_of

T = TypeVar("T")
V = TypeVar("V")

MAX_LINE_BYTES = 64 * 2**20
"""The maximum length of a line. A row of 7 MiB takes up to six times as much, if JSON escapes each character."""


class ExportFile:
    """An export that can be read repeatedly. A pipe is copied to a temporary file.

    ``file``: a name, or an open binary file, which is read from its position, and stays open. Call :meth:`close` in any
    case, also if :meth:`open` fails.
    """

    _file: IO[bytes]
    _pipe: Pipe | None

    def __init__(self, file: str | os.PathLike[str] | IO[bytes]) -> None:
        self._given = Path(file) if isinstance(file, str | os.PathLike) else file
        self._to_close = ExitStack()
        self._start, self._pipe = 0, None

    def open(self) -> None:
        """Open the file."""
        if isinstance(self._given, Path):
            check_suffix(self._given)
        with file_errors("read"):
            self._file = self._opened()
            if self._file.seekable():
                self._start = self._file.tell()
                return
            given, self._pipe = self._file, pipe_of(self._file)
            self._file = self._to_close.enter_context(tempfile.TemporaryFile())  # noqa: SIM115  # close() closes it
            shutil.copyfileobj(self._pipe or given, self._file)

    def stop(self) -> None:
        """End an :meth:`open` that waits for the writer of a pipe."""
        if self._pipe is not None:
            self._pipe.stop()

    def rows(self) -> "RowReader":
        """Return a reader of all rows, from the start."""
        with file_errors("read"):
            self._file.seek(self._start)
            return RowReader(decompressed(self._given, self._file) if isinstance(self._given, Path) else self._file)

    def close(self) -> None:
        """Close what was opened."""
        self._to_close.close()

    def _opened(self) -> IO[bytes]:
        return self._to_close.enter_context(self._given.open("rb")) if isinstance(self._given, Path) else self._given


class RowReader:
    """Reads the rows of a file, in chunks. An InvalidArgumentError names the line that is not valid."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sha256, self._line = file, sha256(), 0
        self._counts = {row_type.TABLE: 0 for row_type in ROW_TYPES}
        self._last: tuple[type[Row], str] | None = None
        self._last_key: tuple[object, ...] = ()
        self._rows = self._read()

    def next_chunk(self) -> tuple[list[TableRow], int]:
        """Return the next rows, all of one tenant and table, and their size in bytes; no rows at the end.

        At the end the number of rows and the checksum are checked.
        """
        rows, size = next(self._rows, ([], 0))
        return rows, size

    def _read(self) -> Iterator[tuple[list[TableRow], int]]:
        self._check(check_header, self._next_line())
        rows, size = list[TableRow](), 0
        while (row := self._next_row()) is not None:
            parsed, length = row
            if rows and (parsed[:2] != rows[0][:2] or len(rows) == PAGE_ROWS or size + length > PAGE_BYTES):
                yield rows, size
                rows, size = [], 0
            rows.append(parsed)
            size += length
        if rows:
            yield rows, size

    def _next_row(self) -> tuple[TableRow, int] | None:
        line = self._next_line(update=False)
        row = self._check(parse_row, line)
        if row is None:
            self._check_end(line)
            return None
        self._sha256.update(line)
        self._counts[row.row_type.TABLE] += 1
        self._check(self._check_order, row)
        return row, len(line)

    def _next_line(self, *, update: bool = True) -> bytes:
        with file_errors("read"):
            line = self._file.readline(MAX_LINE_BYTES + 1)
        self._line += 1
        if not line.endswith(b"\n"):
            reason = "too long" if len(line) > MAX_LINE_BYTES else "the file is truncated"
            raise InvalidArgumentError(f"file: line {self._line}: {reason}; export it again")
        if update:
            self._sha256.update(line)
        return line

    def _check_order(self, row: TableRow) -> None:
        key = sortable_key(row.values, key_indexes(row.row_type))
        if self._last == row[:2] and key <= self._last_key:
            refuse("the rows are not in the order of their keys")
        self._last, self._last_key = row[:2], key

    def _check_end(self, line: bytes) -> None:
        if line != trailer_line(self._counts, self._sha256.hexdigest()):
            raise InvalidArgumentError(
                "file: the row counts or the checksum in the last line do not match; the file was altered: export again"
            )
        with file_errors("read"):
            if self._file.read(1):
                raise InvalidArgumentError("file: data after the last line; the file was altered: export again")

    def _check(self, check: Callable[[V], T], value: V) -> T:
        try:
            return check(value)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"file: line {self._line}: {error.message}") from None
