"""Opens export files: plain, with gzip (``.gz``) or with Zstandard (``.zst``)."""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from axon_storage.errors import InvalidArgumentError, StorageError

_GZIP_LEVEL = 6


def check_suffix(path: Path) -> None:
    """Raise an InvalidArgumentError if the package that the suffix of a file needs is missing."""
    if path.suffix == ".zst":
        _zstandard()


def compressed(path: Path, raw: IO[bytes]) -> IO[bytes]:
    """Return a file that writes to ``raw``, compressed as the suffix of ``path`` says; closing it keeps ``raw`` open.

    Without compression, return ``raw``.
    """
    match path.suffix:
        case ".gz":
            return gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=_GZIP_LEVEL)  # type: ignore[return-value]  # has the methods of IO[bytes]
        case ".zst":
            compressor = _zstandard().ZstdCompressor(write_checksum=True)
            return compressor.stream_writer(raw, closefd=False)  # type: ignore[no-any-return]  # zstandard is optional
        case _:
            return raw


def decompressed(path: Path, raw: IO[bytes]) -> IO[bytes]:
    """Return a file that reads from ``raw``, decompressed as the suffix of ``path`` says."""
    match path.suffix:
        case ".gz":
            return gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[return-value]  # has the methods of IO[bytes]
        case ".zst":
            stream = _zstandard().ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
            return io.BufferedReader(stream)
        case _:
            return raw


@contextmanager
def file_errors(action: str) -> Iterator[None]:
    """Translate errors of files and of compressed data into errors of this package. ``action``: what failed."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise InvalidArgumentError("file: the compressed data are truncated or damaged") from None
    except OSError as error:
        raise StorageError(f"cannot {action} the file: {error.strerror or type(error).__name__}") from error
    except Exception as error:
        if type(error).__name__ != "ZstdError":  # zstandard is optional
            raise
        raise InvalidArgumentError("file: the compressed data are truncated or damaged") from None


def _zstandard() -> Any:
    try:
        import zstandard  # noqa: PLC0415  # optional
    except ImportError:
        raise InvalidArgumentError(
            "file: .zst needs the package zstandard: pip install 'axon-storage[zstd]', or use .gz"
        ) from None
    return zstandard
