"""stats(): the number of rows of each table, with all tenants."""

from axon_storage import SessionRow, StorageBackend
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import sample


async def _counts(storage: StorageBackend) -> dict[str, int]:
    return {table.table: table.rows for table in (await storage.stats()).tables}


async def test_every_table_is_counted_with_all_tenants(storage: StorageBackend) -> None:
    before = await _counts(storage)
    assert list(before) == [row_type.TABLE for row_type in ROW_TYPES]
    for tenant in ("a", "b"):
        await storage.for_tenant(tenant).save_many(sample(row_type, tenant) for row_type in ROW_TYPES)
    assert await _counts(storage.for_tenant("a")) == {name: rows + 2 for name, rows in before.items()}
    assert all(table.is_exact for table in (await storage.stats()).tables)


async def test_a_transaction_counts_what_it_has_written(storage: StorageBackend) -> None:
    before = (await _counts(storage))["sessions"]
    async with storage.transaction() as transaction:
        await transaction.save_session(sample(SessionRow, storage.current_tenant()))
        assert (await _counts(transaction))["sessions"] == before + 1
