"""Backs up a SQLite database while it is in use."""

import asyncio
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from axon_storage.dialects import Dialect, dialect_of
from axon_storage.engine.create import create_engine
from axon_storage.engine.executor import Executor
from axon_storage.engine.translation import translate_errors
from axon_storage.engine.url import hidden
from axon_storage.errors import InvalidArgumentError, QueryError, StorageConnectionError
from axon_storage.sql.unit_of_work import UnitOfWork

Progress = Callable[[int, int], object]

_OPERATION = "backup"
_SIDE_FILES = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupResult:
    """A backup that was checked: its file, the file's size, and the number of rows of each table in it."""

    file: Path
    bytes: int
    tables: Mapping[str, int]


async def backup(url: str, file: str | Path, *, force: bool = False, progress: Progress | None = None) -> BackupResult:
    """Copy a SQLite database to a new file, while other connections and processes use it.

    The copy has every row whose call had returned when the backup began. It gets its name only after its integrity and
    its numbers of rows were checked. ``force``: replace an existing file. ``progress``: called with the number of pages
    copied, and of all pages. Raise an :class:`InvalidArgumentError` for another database, which its own tools back up,
    and for a file that exists or cannot be created.
    """
    url = hidden(url)
    engine, target = create_engine(url), Path(file)
    try:
        dialect = dialect_of(engine.dialect)
        if dialect.backup_tool:
            message = f"{_OPERATION}: back up {dialect.title} with its own tools: {dialect.backup_tool}"
            raise InvalidArgumentError(message)
        if (missing := dialect.missing_file(engine.url)) is not None:
            raise StorageConnectionError(f"there is no file {missing}", operation=_OPERATION)
        source = Path(await Executor(engine).run(_OPERATION, UnitOfWork(dialect.database_file, writes=False)))
        _check_target(source, target, force=force)
        with translate_errors(dialect, _OPERATION), _refusals():
            tables = await _copy(dialect, source, target, force=force, progress=progress or _ignore)
    finally:
        await engine.dispose()
    size = os.stat(target).st_size  # noqa: PTH116  # not Path.stat, which ruff refuses in coroutines; it does not wait
    return BackupResult(file=target, bytes=size, tables=tables)


def _ignore(_done: int, _total: int) -> None:
    """Report no progress."""


def _check_target(source: Path, target: Path, *, force: bool) -> None:
    if target.exists() and target.samefile(source):
        raise InvalidArgumentError(f"{_OPERATION}: the file is the database itself")
    if target.exists() and not force:
        raise InvalidArgumentError(f"{_OPERATION}: the file exists: choose another name, or force its replacement")
    if any(Path(f"{target}{end}").exists() for end in _SIDE_FILES):
        # SQLite would apply this log to the copy, and so damage it
        raise InvalidArgumentError(f"{_OPERATION}: a log of another database is beside the file: choose another name")
    if not target.parent.is_dir():
        raise InvalidArgumentError(f"{_OPERATION}: the folder of the file does not exist")


async def _copy(dialect: Dialect, source: Path, target: Path, *, force: bool, progress: Progress) -> Mapping[str, int]:
    """Copy in a thread; a cancellation stops the thread, and waits for its end."""
    cancelled = threading.Event()

    def report(done: int, total: int) -> None:
        if cancelled.is_set():
            raise InterruptedError
        progress(done, total)

    def work() -> Mapping[str, int]:
        with _written_beside(target, force=force) as copy:
            copy.chmod(stat.S_IMODE(source.stat().st_mode))
            return dialect.copy_to_file(source, copy, report)

    copying = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(copying)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait({copying})
        copying.exception()  # asyncio logs an error that nobody retrieves
        raise


@contextmanager
def _written_beside(target: Path, *, force: bool) -> Iterator[Path]:
    """Yield a temporary file in the folder of the target. Sync and rename it after the block; remove it on an error."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    file = Path(name)
    try:
        yield file
        _sync(file)
        if force:
            file.replace(target)
        else:
            os.link(file, target)  # unlike a rename, it fails if the name was taken in the meantime
        _sync(target.parent)
    finally:
        for end in ("", *_SIDE_FILES):
            Path(f"{name}{end}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _refusals() -> Iterator[None]:
    """Convert the errors of a copy and of its file."""
    try:
        yield
    except ValueError as damaged:
        raise QueryError(str(damaged), operation=_OPERATION) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise QueryError(f"the file cannot be written: {reason}", operation=_OPERATION) from error
