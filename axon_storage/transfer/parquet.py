"""Exports rows to Parquet files, for analysis."""

import os
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from axon_storage.backend import StorageBackend
from axon_storage.engine.url import hidden
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.transfer.arrow import TableFile, pyarrow
from axon_storage.transfer.pages import pages
from axon_storage.transfer.results import ProgressCallback, Tally, TransferResult
from axon_storage.transfer.storages import Side, opened, tenants_of
from axon_storage.transfer.threads import in_thread
from axon_storage.transfer.writer import NewFolder

_OPERATION = "export_parquet"


async def export_parquet(
    storage: StorageBackend | str,
    folder: str | os.PathLike[str],
    *,
    tenants: Iterable[str] | None = None,
    progress: ProgressCallback | None = None,
) -> TransferResult:
    """Write every row to Parquet files, one for each table, for programs that analyse them.

    They cannot be imported; :func:`export` writes files that can. ``folder``: a new or an empty folder. It appears only
    when all files are complete. The other arguments are those of :func:`export`. It needs the package pyarrow
    (``axon-storage[parquet]``)::

        await export_parquet("sqlite:///agents.db", "agents-2026-11")
        pandas.read_parquet("agents-2026-11/cost_tracking.parquet")
    """
    storage = hidden(storage)
    await in_thread(pyarrow)  # the import takes long
    async with opened("storage", storage, migrate=False) as side:
        names, tally = await tenants_of(tenants, [side], [side]), Tally(progress)
        async with _new_folder(Path(folder)) as new:
            for row_type in ROW_TYPES:
                await _export_table(side, names, TableFile(new, row_type), row_type, tally)
    return tally.result()


@asynccontextmanager
async def _new_folder(path: Path) -> AsyncIterator[Path]:
    new = NewFolder(path)
    try:
        yield await in_thread(new.open)
        await in_thread(new.finish)
    finally:
        new.discard()


async def _export_table(side: Side, tenants: list[str], file: TableFile, row_type: type[Row], tally: Tally) -> None:
    try:
        await in_thread(file.open)
        for tenant in tenants:
            async with aclosing(pages(_OPERATION, side.repository, tenant, row_type)) as found:
                async for page in found:
                    await in_thread(file.write_rows, page.rows, page.size)
                    tally.add(row_type.TABLE, tenant, len(page.rows), page.size)
        await in_thread(file.finish)
    finally:
        file.discard()
