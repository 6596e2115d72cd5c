"""Entries of a scope with given keys are read in one call."""

from axon_storage import SessionRow, StorageBackend
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.saves import DISTINCT


async def test_the_entries_with_given_keys_are_loaded_by_code_point(storage: StorageBackend) -> None:
    keys, tenant = [*DISTINCT, "\x01", "🙃"], storage.current_tenant()
    entries = {key: sample(SessionRow, tenant, scope="s", key=key) for key in keys}
    await storage.save_many([*entries.values(), sample(SessionRow, tenant, scope="s ", key="other")])
    asked = [*keys[::2], keys[0], "other", "unknown"]
    expected = [entries[key] for key in sorted(set(keys[::2]))]
    assert await storage.load_sessions("s", iter(asked)) == expected
    assert await storage.load_sessions("s", asked, reverse=True) == expected[::-1]
    async with storage.transaction() as transaction:
        assert await transaction.load_sessions("s", asked) == expected


async def test_any_number_of_keys_is_loaded(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    entries = [sample(SessionRow, tenant, scope="s", key=f"{number:04}") for number in range(1500)]
    await storage.save_many(entries)
    asked = [entry.key for entry in entries]
    assert await storage.load_sessions("s", asked) == entries
    assert await storage.load_sessions("s", asked, reverse=True) == entries[::-1]
