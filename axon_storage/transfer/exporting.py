"""Exports rows to a file."""

import os
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path

from axon_storage.backend import StorageBackend
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.transfer.pages import pages
from axon_storage.transfer.results import ProgressCallback, Tally, TransferResult
from axon_storage.transfer.storages import Side, opened, tenants_of
from axon_storage.transfer.threads import in_thread
from axon_storage.transfer.writer import FileWriter


async def export(
    storage: StorageBackend | str,
    file: str | os.PathLike[str],
    *,
    tenants: Iterable[str] | None = None,
    progress: ProgressCallback | None = None,
) -> TransferResult:
    """Write every row to a file, as JSON Lines; :func:`import_` reads it.

    ``storage``: a storage, or a URL, which is opened for the call. A view exports its tenant only. ``file``: with the
    suffix ``.gz`` or ``.zst`` it is compressed; an existing file is replaced when the new one is complete. ``tenants``:
    the tenants to export; None means all. ``progress``: called after each page of rows, with a :class:`Progress`::

        await export("sqlite:///agents.db", "agents.jsonl.gz")
    """
    async with opened("storage", storage, migrate=False) as side:
        names = await tenants_of(tenants, [side], [side])
        tally, writer = Tally(progress), FileWriter(Path(file))
        try:
            await in_thread(writer.open)
            for tenant in names:
                for row_type in ROW_TYPES:
                    await _export_table(side, tenant, row_type, writer, tally)
            await in_thread(writer.finish, tally.rows)
        finally:
            writer.discard()
    return tally.result()


async def _export_table(side: Side, tenant: str, row_type: type[Row], writer: FileWriter, tally: Tally) -> None:
    async with aclosing(pages("export", side.repository, tenant, row_type)) as found:
        async for page in found:
            await in_thread(writer.write_rows, row_type, page.rows)
            tally.add(row_type.TABLE, tenant, len(page.rows), page.size)
