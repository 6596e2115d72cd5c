"""Exports rows to a file."""

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import IO

from axon_storage.backend import StorageBackend
from axon_storage.engine.url import hidden
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.transfer.pages import pages
from axon_storage.transfer.results import ProgressCallback, Tally, TransferResult
from axon_storage.transfer.storages import Side, opened, tenants_of
from axon_storage.transfer.threads import in_thread
from axon_storage.transfer.writer import LineWriter, NewFile


async def export(
    storage: StorageBackend | str,
    file: str | os.PathLike[str] | IO[bytes],
    *,
    tenants: Iterable[str] | None = None,
    progress: ProgressCallback | None = None,
) -> TransferResult:
    """Write every row to a file, as JSON Lines; :func:`import_` reads it.

    ``storage``: a storage, or a URL, which is opened for the call. A view exports its tenant only. ``file``: a name;
    with the suffix ``.gz`` or ``.zst`` the file is compressed, and an existing file is replaced when the new one is
    complete. Or an open binary file, such as ``sys.stdout.buffer``, which stays open. ``tenants``: the tenants to
    export, which must have rows; None means all. ``progress``: called after each page of rows, with a
    :class:`Progress`::

        await export("sqlite:///agents.db", "agents.jsonl.gz")
    """
    storage = hidden(storage)
    async with opened("storage", storage, migrate=False) as side:
        names, tally = await tenants_of(tenants, [side], [side]), Tally(progress)
        async with _output(file) as output:
            lines = LineWriter(output)
            await in_thread(lines.write_header, stop=lines.stop)
            for tenant in names:
                for row_type in ROW_TYPES:
                    await _export_table(side, tenant, row_type, lines, tally)
            await in_thread(lines.write_trailer, tally.rows, stop=lines.stop)
    return tally.result()


@asynccontextmanager
async def _output(file: str | os.PathLike[str] | IO[bytes]) -> AsyncIterator[IO[bytes]]:
    """Yield the open file, or a new file for a block."""
    if not isinstance(file, str | os.PathLike):
        yield file
        return
    new = NewFile(Path(file))
    try:
        yield await in_thread(new.open)
        await in_thread(new.finish)
    finally:
        new.discard()


async def _export_table(side: Side, tenant: str, row_type: type[Row], lines: LineWriter, tally: Tally) -> None:
    async with aclosing(pages("export", side.repository, tenant, row_type)) as found:
        async for page in found:
            await in_thread(lines.write_rows, row_type, page.rows, stop=lines.stop)
            tally.add(row_type.TABLE, tenant, len(page.rows), page.size)
