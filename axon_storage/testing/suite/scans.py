"""``scan`` yields every row of a type, page by page."""

from itertools import count
from typing import TypeVar

import pytest

from axon_storage import CacheRow, Row, SessionRow, StorageBackend, TraceRow
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.saves import DISTINCT
from axon_storage.testing.verbs import KEYED, NAMED, load

R = TypeVar("R", bound=Row)

FLOWS = ["", "a", "a ", "b", "é"]


async def _scan(storage: StorageBackend, row_type: type[Row], page_size: int = 500) -> list[Row]:
    return [row async for row in storage.scan(row_type, page_size=page_size)]


def _many(row_type: type[R], tenant: str) -> list[R]:
    """Return rows with different keys; one of the prefixes of a composite key has most of them."""
    if row_type is SessionRow or row_type is CacheRow:
        pairs = [(first, last) for first in FLOWS for last in (DISTINCT if first == "a" else DISTINCT[:2])]
        return [sample(row_type, tenant, **dict(zip(row_type.KEY, pair, strict=True))) for pair in pairs]
    if row_type in NAMED:
        return [sample(row_type, tenant, **{row_type.KEY[0]: name}) for name in DISTINCT]
    names = {"trace_id": count(5)} if row_type is TraceRow else {}
    return [sample(row_type, tenant, **{name: next(values) for name, values in names.items()}) for _ in range(9)]


@pytest.mark.parametrize("row_type", ROW_TYPES)
@pytest.mark.parametrize("page_size", [1, 2, 7, 500])
async def test_every_row_is_yielded_once_in_order(storage: StorageBackend, row_type: type[Row], page_size: int) -> None:
    tenant = storage.current_tenant()
    assert await _scan(storage, row_type, page_size) == []
    rows = _many(row_type, tenant)
    await storage.save_many(reversed(rows))
    expected = await load(storage, row_type)
    if row_type is TraceRow or row_type not in KEYED:
        expected.reverse()  # lists are newest first
    assert len(expected) == len(rows)
    assert await _scan(storage, row_type, page_size) == expected
    async with storage.transaction() as transaction:
        assert await _scan(transaction, row_type, page_size) == expected


async def test_a_scan_does_not_yield_expired_entries(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    ttls = [0, None, 0, 0, 0, 3600, 0]
    entries = [sample(CacheRow, tenant, cache_key=str(number), ttl_secs=ttl) for number, ttl in enumerate(ttls)]
    await storage.save_many(entries)
    for page_size in (1, 2, 500):
        assert await _scan(storage, CacheRow, page_size) == [entries[1], entries[5]]


async def test_rows_may_be_stored_and_deleted_during_a_scan(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.save_many(_many(SessionRow, tenant))
    seen = list[SessionRow]()
    async for entry in storage.scan(SessionRow, page_size=3):
        seen.append(entry)
        await storage.delete_session(entry.scope, entry.key)
    assert seen == sorted(_many(SessionRow, tenant), key=lambda row: (row.scope, row.key))
    assert await storage.session_scopes() == []
