"""Ranges of keys: a part of the entries of a scope, and a part of the scopes, by code point."""

from itertools import pairwise

from axon_storage import (
    SessionRow,
    StorageBackend,
)
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.saves import DISTINCT

BOUNDS = [None, "", "\x01", "A ", "a", "a\x01", "é", "🙃", "\U0010ffff"]
PAIRS = [*pairwise(BOUNDS), ("a", None), (None, None), ("A ", "é"), ("é", "a"), ("\x01", "🙃")]


def within(keys: list[str], start: str | None, end: str | None) -> list[str]:
    return sorted(key for key in keys if (start is None or key >= start) and (end is None or key < end))


async def test_entries_are_loaded_from_a_start_to_an_end_by_code_point(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    keys = [*DISTINCT, "\x01", "\x01\x01", "\x02"]
    entries = {key: sample(SessionRow, tenant, scope="s", key=key) for key in keys}
    await storage.save_many([*entries.values(), sample(SessionRow, tenant, scope="s ", key="b")])
    for start, end in PAIRS:
        expected = [entries[key] for key in within(keys, start, end)]
        assert await storage.load_sessions("s", start=start, end=end) == expected
        for limit in (0, 3):
            assert await storage.load_sessions("s", start=start, end=end, limit=limit) == expected[:limit]
        backwards = await storage.load_sessions("s", start=start, end=end, limit=3, reverse=True)
        assert backwards == expected[::-1][:3]


async def test_without_a_range_entries_can_be_limited_and_reversed(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    entries = [sample(SessionRow, tenant, scope="", key=f"{number}") for number in range(5)]
    await storage.save_many(entries)
    assert await storage.load_sessions("", limit=2) == entries[:2]
    assert await storage.load_sessions("", reverse=True) == entries[::-1]
    assert await storage.load_sessions("", limit=2**63 - 1) == entries
    async with storage.transaction() as transaction:
        assert await transaction.load_sessions("", start="1", end="4", reverse=True) == entries[3:0:-1]


LONG = "x" * 256


async def test_scopes_are_listed_from_a_start_to_an_end_by_code_point(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    scopes = [*DISTINCT, "\x01", "\x01\x01", "\x02"]
    await storage.save_many(sample(SessionRow, tenant, scope=scope, key=key) for scope in scopes for key in "ab")
    for start, end in PAIRS:
        expected = within(scopes, start, end)
        assert await storage.session_scopes(start=start, end=end) == expected
        for limit in (0, 3):
            assert await storage.session_scopes(start=start, end=end, limit=limit) == expected[:limit]
