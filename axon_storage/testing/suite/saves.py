"""A save replaces the whole row of a key; keys are compared by code point; lists are in key order."""

from contextlib import suppress
from dataclasses import fields, replace

import pytest

from axon_storage import CacheRow, DaemonRow, Row, SerializationError, SessionRow, StorageBackend, TraceRow
from axon_storage.model.rows import check_row
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import KEYED, NAMED, delete, get, load, store

# neighbours differ in case, accent, trailing space, normalisation or width, or are variants of one letter
DISTINCT = ["", " ", "A", "A ", "a", "a ", "a  ", "aa", "e\u0301", "ss", "z", "é", "ß", "ﬀ", "🙂", "🙃"]


@pytest.mark.parametrize("row_type", KEYED)
async def test_a_save_replaces_every_column_but_the_key(storage: StorageBackend, row_type: type[Row]) -> None:
    tenant = storage.current_tenant()
    before = sample(row_type, tenant)
    after = other_values(before)
    await store(storage, before)
    await store(storage, after)
    assert await load(storage, row_type) == [after]
    await store(storage, before)  # an optional column can become None again
    assert await load(storage, row_type) == [before]


@pytest.mark.parametrize("row_type", KEYED)
async def test_a_delete_says_whether_the_row_was_there(storage: StorageBackend, row_type: type[Row]) -> None:
    tenant = storage.current_tenant()
    row = sample(row_type, tenant)
    await store(storage, row)
    assert await delete(storage, row) == 1
    assert await delete(storage, row) == 0
    assert await load(storage, row_type) == []


@pytest.mark.parametrize("row_type", NAMED)
async def test_names_differ_by_code_point_and_lists_are_sorted_by_it(
    storage: StorageBackend, row_type: type[Row]
) -> None:
    tenant = storage.current_tenant()
    key = row_type.KEY[0]
    rows = [sample(row_type, tenant, **{key: name}) for name in DISTINCT]
    for row in reversed(rows):
        await store(storage, row)
    assert await load(storage, row_type) == sorted(rows, key=lambda row: str(getattr(row, key)))
    for row in rows:
        assert await delete(storage, row) == 1


async def test_scopes_and_keys_differ_by_code_point(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    entries = [sample(SessionRow, tenant, scope=scope, key=key) for scope in DISTINCT for key in DISTINCT]
    await storage.save_many(entries)
    assert await storage.session_scopes() == sorted(DISTINCT)
    for scope in DISTINCT:
        assert [entry.key for entry in await storage.load_sessions(scope)] == sorted(DISTINCT)
    entry = sample(SessionRow, tenant, scope="a ", key="é", value="found")
    await storage.save_session(entry)
    assert await storage.get_session("a ", "é") == entry
    assert await storage.get_session("a ", "É") is None
    assert await storage.load_sessions("nowhere") == []


async def test_cache_entries_are_listed_by_flow_and_key(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    entries = [sample(CacheRow, tenant, flow_name=flow, cache_key=key) for flow in DISTINCT for key in ("b", "a")]
    await storage.save_many(entries)
    found = [(entry.flow_name, entry.cache_key) for entry in await storage.load_cache_entries()]
    assert found == sorted((flow, key) for flow in DISTINCT for key in ("a", "b"))


async def test_the_longest_identifiers_are_stored_whole(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    long = "🙂" * 255
    daemon = sample(DaemonRow, tenant, name=long, source_file="🙂" * 900, trigger_topic=long)
    entry = sample(SessionRow, tenant, scope=long, key=long)
    cached = sample(CacheRow, tenant, flow_name=long, cache_key=long)
    await storage.save_many([daemon, entry, cached])
    assert await storage.load_daemons() == [daemon]
    assert await storage.get_session(long, long) == entry
    assert await storage.get_cache_entry(long, long) == cached


@pytest.mark.parametrize("row_type", KEYED)
async def test_a_row_is_read_by_its_key(storage: StorageBackend, row_type: type[Row]) -> None:
    tenant = storage.current_tenant()
    row = sample(row_type, tenant)
    assert await get(storage, row) is None
    last = row_type.KEY[-1]
    other = sample(row_type, tenant, **{last: 8 if row_type is TraceRow else "name "})
    await storage.save_many([row, other])
    assert [await get(storage, row), await get(storage, other)] == [row, other]


async def test_a_trace_of_an_unknown_id_is_none(storage: StorageBackend) -> None:
    assert await storage.get_trace(2**64 - 1) is None
    assert await storage.get_session("scope", "key") is None
    assert await storage.get_cache_entry("flow", "key") is None


async def test_a_saved_zero_stays_zero(storage: StorageBackend) -> None:
    tenant = storage.current_tenant()
    await storage.save_many([sample(TraceRow, tenant, trace_id=0), sample(TraceRow, tenant, trace_id=1)])
    assert [trace.trace_id for trace in await storage.load_traces(9)] == [1, 0]


def other_values(row: Row) -> Row:
    """Return the row with another value in every field outside the key."""
    for field in fields(row):
        if field.name not in ("tenant_id", *row.KEY):
            for value in ("other", 8, False, 60):
                changed: Row = replace(row, **{field.name: value})  # type: ignore[arg-type]  # values of any type, on purpose
                with suppress(SerializationError):  # of another type: try the next value
                    check_row(changed)
                    row = changed
                    break
    return row
