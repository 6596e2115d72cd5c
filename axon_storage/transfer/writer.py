"""Writes the lines of an export, and files and folders that have a temporary name until they are complete."""

import os
import shutil
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
from axon_storage.transfer.pipes import pipe_of


class LineWriter:
    """Writes the lines of an export to a binary file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._pipe = pipe_of(file)
        self._file, self._sha256 = self._pipe or file, sha256()

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

    def stop(self) -> None:
        """End a call that waits for the reader of a pipe."""
        if self._pipe is not None:
            self._pipe.stop()

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
        self._path, self._temporary = path, _temporary(path)

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


class NewFolder:
    """A folder that gets its name when it is complete. Call :meth:`discard` in any case, also if :meth:`open` fails.

    Other users of the system cannot read what is in it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._temporary = path, _temporary(path)

    def open(self) -> Path:
        """Create the folder under its temporary name, and return it."""
        with file_errors("create"):
            if self._path.exists() and not (self._path.is_dir() and next(self._path.iterdir(), None) is None):
                raise InvalidArgumentError(f"folder: {self._path.name} exists; pass a new or an empty folder")
            self._temporary.mkdir(mode=0o700)
        return self._temporary

    def finish(self) -> None:
        """Sync the folder to disk, and give it its name."""
        with file_errors("write"):
            _sync_directory(self._temporary)
            self._temporary.replace(self._path)
            _sync_directory(self._path.parent)

    def discard(self) -> None:
        """Delete the temporary folder, if it has not got its name."""
        shutil.rmtree(self._temporary, ignore_errors=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid4().hex[:8]}.part")


def _sync_directory(path: Path) -> None:
    """Sync the new name to disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
