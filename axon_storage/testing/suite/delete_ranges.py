"""``delete_sessions``: many entries of a scope in one transaction, in the order of the other writes of their rows."""

import pytest

from axon_storage import (
    SessionRow,
    StorageBackend,
)
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.ranges import within
from axon_storage.testing.suite.saves import DISTINCT


async def keys_of(storage: StorageBackend, scope: str = "s") -> list[str]:
    return [entry.key for entry in await storage.load_sessions(scope)]


async def _fill(storage: StorageBackend, tenant: str) -> list[str]:
    keys = [*DISTINCT, "\x01", "\x01\x01", "\x02"]
    scopes = ("s", "s ", "", "t")
    await storage.save_many(sample(SessionRow, tenant, scope=scope, key=key) for scope in scopes for key in keys)
    return sorted(keys)


async def test_a_range_of_entries_is_deleted_by_code_point(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    for start_, end in [(None, "a"), ("a", None), ("a", "é"), ("A ", "A"), ("", "\x01"), (None, "\U0010ffff")]:
        keys = await _fill(storage, tenant)
        expected = within(keys, start_, end)
        assert await storage.delete_sessions("s", start=start_, end=end) == len(expected)
        assert await keys_of(storage) == [key for key in keys if key not in expected]
        assert await storage.delete_sessions("s", start=start_, end=end) == 0
        for scope in ("s ", "", "t"):
            assert await keys_of(storage, scope) == keys


async def test_a_whole_scope_is_deleted(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    keys = await _fill(storage, tenant)
    assert await storage.delete_sessions("s") == len(keys)
    assert await storage.session_scopes() == ["", "s ", "t"]
    assert await storage.delete_sessions("") == len(keys)
    assert await storage.delete_sessions("nowhere") == 0
    assert await storage.session_scopes() == ["s ", "t"]


async def test_given_keys_are_deleted(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    keys = await _fill(storage, tenant)
    assert await storage.delete_sessions("s", ["a", "unknown", "", "a"]) == 2
    assert await keys_of(storage) == [key for key in keys if key not in ("a", "")]
    assert await storage.delete_sessions("s", []) == 0
    many = (f"{number}" for number in range(3000))
    await storage.save_many(sample(SessionRow, tenant, scope="s", key=f"{number}") for number in range(0, 3000, 2))
    assert await storage.delete_sessions("s", many) == 1500


async def test_a_transaction_deletes_ranges(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    keys = await _fill(storage, tenant)
    with pytest.raises(ZeroDivisionError):
        async with storage.transaction() as transaction:
            assert await transaction.delete_sessions("s", end="b") > 0
            1 / 0  # noqa: B018  # the block fails
    assert await keys_of(storage) == keys
    async with storage.transaction() as transaction:
        assert await transaction.delete_sessions("s", start="a") == len(within(keys, "a", None))
    assert await keys_of(storage) == within(keys, None, "a")
