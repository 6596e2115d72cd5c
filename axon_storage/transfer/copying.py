"""Copies the rows of one database to another."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager

from axon_storage.backend import StorageBackend
from axon_storage.engine.url import hidden
from axon_storage.model.requests import DeleteTableRows, WriteTablePage
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.transfer.pages import PAGE_ROWS, pages
from axon_storage.transfer.results import ProgressCallback, Tally, TransferResult
from axon_storage.transfer.storages import Side, opened, refuse_same_database, tenants_of
from axon_storage.transfer.verification import ONLY_IN_TARGET, differences

_COPY = "copy"


async def copy(
    source: StorageBackend | str,
    target: StorageBackend | str,
    *,
    tenants: Iterable[str] | None = None,
    progress: ProgressCallback | None = None,
    delete_extra: bool = False,
) -> TransferResult:
    """Copy every row, with its ids, timestamps, expiry and order, to another database of any kind.

    ``source``, ``target``: storages, or URLs, which are opened for the call. A view copies its tenant only.
    ``tenants``: the tenants to copy, which must have rows; None means all. ``progress``: called after each page of
    rows, with a :class:`Progress`. ``delete_extra``: afterwards delete the rows of the copied tenants that exist only
    in the target; rows of tenants that the source does not have are kept.

    A row that exists in the target is replaced. If the copy is interrupted, run it again. Both databases may be in use,
    but rows that change during the copy may be missed: run it again until :func:`verify` finds no difference::

        await copy("sqlite:///agents.db", "postgresql://ada@db.example/agents")
    """
    source, target = hidden(source), hidden(target)
    async with _both(source, target) as sides:
        names = await tenants_of(tenants, sides, sides[:1])
        tally = Tally(progress)
        for tenant in names:
            for row_type in ROW_TYPES:
                await _copy_table(*sides, tenant, row_type, tally)
        # Not the tenants that only the target has: a wrong or empty source would delete everything.
        extra = names if delete_extra else []
        deleted = sum([await _delete_extra(*sides, tenant, kind) for tenant in extra for kind in ROW_TYPES])
    return tally.result(deleted=deleted)


@asynccontextmanager
async def _both(source: StorageBackend | str, target: StorageBackend | str) -> AsyncIterator[tuple[Side, Side]]:
    source, target = hidden(source), hidden(target)
    async with (
        opened("source", source, migrate=False) as source_side,
        opened("target", target) as target_side,
    ):
        await refuse_same_database(source_side, target_side)
        yield source_side, target_side


async def _copy_table(source: Side, target: Side, tenant: str, row_type: type[Row], tally: Tally) -> None:
    async with aclosing(pages(_COPY, source.repository, tenant, row_type)) as found:
        async for page in found:
            write = WriteTablePage(operation=_COPY, tenant=tenant, row_type=row_type, rows=page.rows)
            await target.repository.execute(write)
            tally.add(row_type.TABLE, tenant, len(page.rows), page.size)


async def _delete_extra(source: Side, target: Side, tenant: str, row_type: type[Row]) -> int:
    deleted, keys = 0, list[tuple[object, ...]]()
    async with aclosing(differences(_COPY, source.repository, target.repository, tenant, row_type)) as found:
        async for difference in found:
            if difference.reason == ONLY_IN_TARGET:
                keys.append(tuple(difference.key.values()))
            if len(keys) == PAGE_ROWS:
                deleted += await _delete(target, tenant, row_type, keys)
                keys = []
    return deleted + await _delete(target, tenant, row_type, keys)


async def _delete(target: Side, tenant: str, row_type: type[Row], keys: list[tuple[object, ...]]) -> int:
    if not keys:
        return 0
    return await target.repository.execute(
        DeleteTableRows(operation=_COPY, tenant=tenant, row_type=row_type, keys=keys)
    )
