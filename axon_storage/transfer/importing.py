"""Imports the rows of a file."""

import os
from typing import IO

from axon_storage.backend import StorageBackend
from axon_storage.engine.url import hidden
from axon_storage.errors import TenantMismatchError
from axon_storage.model.requests import WriteTablePage
from axon_storage.transfer.lines import TableRow
from axon_storage.transfer.reader import ExportFile
from axon_storage.transfer.results import ProgressCallback, Tally, TransferResult
from axon_storage.transfer.storages import Side, opened
from axon_storage.transfer.threads import in_thread


async def import_(
    storage: StorageBackend | str,
    file: str | os.PathLike[str] | IO[bytes],
    *,
    progress: ProgressCallback | None = None,
) -> TransferResult:
    """Store every row of a file that :func:`export` wrote, with its ids, timestamps and order.

    The arguments are those of :func:`export`. An open binary file, such as ``sys.stdin.buffer``, is not decompressed; a
    pipe is read to its end, into a temporary file. The whole file is checked first: if it is truncated, altered, of
    another format or of a newer version, raise an :class:`InvalidArgumentError`, and store nothing. A row that exists
    is replaced. If the import is interrupted, run it again::

        await import_("postgresql://ada@db.example/agents", "agents.jsonl.gz")
    """
    storage = hidden(storage)
    async with opened("storage", storage) as side:
        source = ExportFile(file)
        try:
            await in_thread(source.open, stop=source.stop)
            await _check(side, source)
            return await _store(side, source, Tally(progress))
        finally:
            source.close()


async def _check(side: Side, source: ExportFile) -> None:
    reader = source.rows()
    while (chunk := await in_thread(reader.next_chunk))[0]:
        _check_tenant(side, chunk[0][0])


async def _store(side: Side, source: ExportFile, tally: Tally) -> TransferResult:
    reader = source.rows()
    while (chunk := await in_thread(reader.next_chunk))[0]:
        rows, size = chunk
        row_type, tenant, _ = rows[0]
        _check_tenant(side, rows[0])
        values = [row.values for row in rows]
        write = WriteTablePage(operation="import_", tenant=tenant, row_type=row_type, rows=values)
        await side.repository.execute(write)
        tally.add(row_type.TABLE, tenant, len(rows), size)
    return tally.result()


def _check_tenant(side: Side, row: TableRow) -> None:
    if side.tenant not in {None, row.tenant}:
        raise TenantMismatchError("the file has rows of another tenant than the view; pass the storage itself")
