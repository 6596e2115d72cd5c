"""Writes the lines of an export, and files that have a temporary name until they are complete."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from axon_storage.errors import InvalidArgumentError
from axon_storage.model.rows import Row
from axon_storage.transfer.compression import check_suffix, compressed, file_errors
from axon_storage.transfer.lines import header_line, row_line, trailer_line


class LineWriter:
    """Writes the lines of an export to a binary file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sha256 = file, sha256()

    def write_header(self) -> None:
        """Write the first line."""
        self._write(header_line())

    def write_rows(self, row_type: type[Row], rows: Sequence[tuple[Any, ...]]) -> None:
        """Write table rows."""
        self._write(b"".join([row_line(row_type, row) for row in rows]))

    def write_trailer(self, rows: Mapping[str, int]) -> None:
        """Write the last line, without which an export cannot be imported."""
        self._write(trailer_line(rows, self._sha256.hexdigest()))
        with file_errors("write"):
            self._file.flush()

    def _write(self, data: bytes) -> None:
        self._sha256.update(data)
        with file_errors("write"):
            self._file.write(data)


class NewFile:
    """A file that gets its name when it is complete. Call :meth:`discard` in any case, also if :meth:`open` fails.

    Other users of the system cannot read it, because it contains every tenant's rows.
    """

    _raw: IO[bytes]
    _file: IO[bytes]

    def __init__(self, path: Path) -> None:
        self._path, self._temporary = path, path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")

    def open(self) -> IO[bytes]:
        """Create the file under its temporary name, and return it; what is written is compressed as its suffix says."""
        check_suffix(self._path)
        if self._path.exists() and not self._path.is_file():
            raise InvalidArgumentError(f"file: {self._path.name} exists and is not a file; pass the name of a file")
        with file_errors("create"):
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._raw = os.fdopen(descriptor, "wb")
            self._file = compressed(self._path, self._raw)
        return self._file

    def finish(self) -> None:
        """Sync the file to disk, and give it its name."""
        with file_errors("write"):
            if self._file is not self._raw:
                self._file.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
            self._raw.close()
            self._temporary.replace(self._path)
            _sync_directory(self._path.parent)

    def discard(self) -> None:
        """Delete the temporary file, if it has not got its name."""
        with suppress(Exception):  # also if it was not opened
            self._raw.close()
        self._temporary.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    """Sync the new name to disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
