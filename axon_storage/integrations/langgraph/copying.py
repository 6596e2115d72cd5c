"""The copy of a thread."""

from dataclasses import replace

from axon_storage.backend import StorageBackend
from axon_storage.integrations.keys import NAME, name_rows, scope_of, unescape
from axon_storage.integrations.langgraph.locking import locked
from axon_storage.integrations.langgraph.reader import PAGE
from axon_storage.integrations.langgraph.records import LOCK, THREADS, run_rows


async def copy_thread(storage: StorageBackend, source_id: str, target_id: str) -> None:
    """Copy all entries of a thread to another. Entries that only the target has stay.

    The lock excludes deletions between the pages. A checkpoint that is put meanwhile is copied with its values, which
    sort after it, or not at all.
    """
    source, target = scope_of(THREADS, source_id), scope_of(THREADS, target_id)
    if source == target:
        return
    async with locked(storage, source) as transaction:
        start = ""
        while rows := await transaction.load_sessions(source, start=start, limit=PAGE):
            copies = [replace(row, scope=target) for row in rows if row.key not in {NAME, LOCK, start}]
            runs = [unescape(row.value) for row in rows if row.key.startswith("x ")]
            await transaction.save_many(copies + [row for run in runs for row in run_rows(target, target_id, run)])
            if len(rows) < PAGE:
                break
            start = rows[-1].key
        await transaction.save_many(name_rows(target, target_id))
