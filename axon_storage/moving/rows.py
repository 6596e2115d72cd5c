"""The rows of a tenant in the database of a fence: makes them equal to those of another database, or deletes them."""

from contextlib import aclosing
from typing import Any

from axon_storage.audit.storages import seal_pages
from axon_storage.model.maintenance import ForgetPruned, ListOld, ListPruned, NotePruned
from axon_storage.model.requests import DeleteTableRows, WriteTablePage
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.model.seals import AddSeal, ForgetSeals, ListSeals, ReadSealState
from axon_storage.moving.fence import Fence
from axon_storage.repository import SqlRepository
from axon_storage.transfer.pages import PAGE_BYTES, PAGE_ROWS, key_indexes
from axon_storage.transfer.results import Tally
from axon_storage.transfer.verification import differing_rows

MOVE = "move"
"""The operation of the requests."""


async def make_equal(source: SqlRepository, fence: Fence, tally: Tally) -> int:
    """Write the rows that differ from those of ``source``, and delete others; return how many differed.

    Afterwards up to when tables were pruned, and the seals of the audit log, are as in ``source`` too.
    """
    changes = sum([await _make_table_equal(source, fence, row_type, tally) for row_type in ROW_TYPES])
    await _copy_pruned(source, fence)
    await _copy_seals(source, fence)
    return changes


async def delete_rows(fence: Fence) -> int:
    """Delete all rows, what is recorded about prune runs, and the seals; return the number of rows."""
    deleted = sum([await _delete_table(fence, row_type) for row_type in ROW_TYPES])
    await fence.execute(ForgetPruned(operation=MOVE, tenant=fence.tenant))
    await _forget_seals(fence)
    return deleted


async def _make_table_equal(source: SqlRepository, fence: Fence, row_type: type[Row], tally: Tally) -> int:
    changes, batch = 0, _Batch(fence, row_type, tally)
    async with aclosing(differing_rows(MOVE, source, fence.storage, fence.tenant, row_type)) as found:
        async for row, other in found:
            changes += 1
            batch.add(row, other)
            if batch.is_full:
                await batch.send()
    await batch.send()
    return changes


class _Batch:
    """Rows of a table to write and to delete."""

    def __init__(self, fence: Fence, row_type: type[Row], tally: Tally) -> None:
        self._fence, self._row_type, self._tally = fence, row_type, tally
        self._indexes = key_indexes(row_type)
        self._clear()

    @property
    def is_full(self) -> bool:
        """Whether the batch has as much as a transaction should."""
        return len(self._rows) + len(self._keys) >= PAGE_ROWS or self._size >= PAGE_BYTES

    def add(self, row: tuple[Any, ...] | None, other: tuple[Any, ...] | None) -> None:
        """Add a row to write or, if there is none, the other one to delete."""
        if row is not None:
            self._rows.append(row)
            self._size += sum(len(value) for value in row if isinstance(value, str))
        elif other is not None:
            self._keys.append(tuple(other[index] for index in self._indexes))

    async def send(self) -> None:
        """Write and delete the rows."""
        tenant, row_type = self._fence.tenant, self._row_type
        if self._rows:
            write = WriteTablePage(operation=MOVE, tenant=tenant, row_type=row_type, rows=self._rows)
            await self._fence.execute(write)
            self._tally.add(row_type.TABLE, tenant, len(self._rows), self._size)
        if self._keys:
            delete = DeleteTableRows(operation=MOVE, tenant=tenant, row_type=row_type, keys=self._keys)
            await self._fence.execute(delete)
        self._clear()

    def _clear(self) -> None:
        self._rows, self._keys, self._size = list[tuple[Any, ...]](), list[tuple[Any, ...]](), 0


async def _copy_pruned(source: SqlRepository, fence: Fence) -> None:
    request = ListPruned(operation=MOVE, tenant=fence.tenant)
    pruned = await source.execute(request)
    if pruned != await fence.storage.execute(request):
        await fence.execute(ForgetPruned(operation=MOVE, tenant=fence.tenant))
        await fence.execute(NotePruned(operation=MOVE, tenant=fence.tenant, pruned=pruned))


async def _copy_seals(source: SqlRepository, fence: Fence) -> None:
    """Add the seals that are missing. If the last one that is there is another one, copy all."""
    last = (await fence.storage.execute(ReadSealState(operation=MOVE, tenant=fence.tenant))).last
    after = 0 if last is None else last.number
    if last is not None:
        same = await source.execute(ListSeals(operation=MOVE, tenant=fence.tenant, after=after - 1, limit=1))
        if not same or same[0].seal_hash != last.seal_hash:
            await _forget_seals(fence)
            after = 0
    async with aclosing(seal_pages(MOVE, source, fence.tenant, after)) as pages:
        async for page in pages:
            for seal in page:
                await fence.execute(AddSeal(operation=MOVE, tenant=fence.tenant, seal=seal))


async def _forget_seals(fence: Fence) -> None:
    while await fence.execute(ForgetSeals(operation=MOVE, tenant=fence.tenant)):
        pass


async def _delete_table(fence: Fence, row_type: type[Row]) -> int:
    deleted, after = 0, None
    while True:
        page = await fence.storage.execute(
            ListOld(
                operation=MOVE,
                tenant=fence.tenant,
                row_type=row_type,
                where={},
                before=None,
                after=after,
                limit=PAGE_ROWS,
            )
        )
        if page.keys:
            keys = DeleteTableRows(operation=MOVE, tenant=fence.tenant, row_type=row_type, keys=page.keys)
            deleted += await fence.execute(keys)
        after = page.after
        if after is None:
            return deleted
