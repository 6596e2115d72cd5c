"""The backend that keeps nothing: writes succeed, loads are empty, and rows are checked nevertheless."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from axon_storage import (
    EventRow,
    InMemoryBackend,
    QueryError,
    Row,
    SerializationError,
    StorageBackend,
    StorageDispatcher,
    TenantMismatchError,
    TraceRow,
    new_id,
    open_storage,
)
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.refusals import FIELD_REFUSALS, JSON_REFUSALS
from axon_storage.testing.verbs import KEYED, LOGS, delete, get, load, store


@pytest.fixture(params=["memory", "memory through a dispatcher"])
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[StorageBackend]:
    async with InMemoryBackend() if request.param == "memory" else StorageDispatcher.in_memory() as opened:
        yield opened


@pytest.mark.parametrize("row_type", ROW_TYPES)
async def test_writes_succeed_and_loads_are_empty(storage: StorageBackend, row_type: type[Row]) -> None:
    await store(storage, sample(row_type))
    await storage.save_many([sample(row_type)])
    await storage.save_many([sample(row_type)], keep_existing=True)
    assert await load(storage, row_type) == []
    assert [row async for row in storage.scan(row_type)] == []
    if row_type in KEYED:
        assert await storage.create(sample(row_type)) is True
        assert await get(storage, sample(row_type)) is None
        assert await delete(storage, sample(row_type)) == 0
    if row_type in LOGS:
        row_id = new_id()
        assert await store(storage, sample(row_type), id=row_id) == row_id
        with pytest.raises(ValueError, match="UUIDv7"):
            await store(storage, sample(row_type), id="an id")


async def test_the_memory_backend_gives_the_results_of_an_empty_storage(storage: StorageBackend) -> None:
    assert await storage.is_healthy()
    assert await storage.get_trace(1) is None
    assert await storage.get_session("scope", "key") is None
    assert await storage.tenant_ids() == []
    assert await storage.session_scopes() == []
    assert await storage.evict_expired_cache() == 0
    assert await storage.delete_sessions("scope") == await storage.delete_sessions("scope", ["key"]) == 0
    assert await storage.delete_traces(range(10)) == 0
    async with storage.transaction() as transaction:
        await transaction.save_trace(sample(TraceRow))
        await transaction.for_tenant("a").save_trace(sample(TraceRow, "a"))


@pytest.mark.parametrize(("value", "message"), JSON_REFUSALS, ids=[message for _, message in JSON_REFUSALS])
async def test_json_outside_the_domain_is_refused(storage: StorageBackend, value: Any, message: str) -> None:
    with pytest.raises(SerializationError) as refused:
        await storage.append_event(sample(EventRow, payload=value))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("row_type", "field", "value", "message"), FIELD_REFUSALS, ids=[message for *_, message in FIELD_REFUSALS]
)
async def test_fields_outside_the_domain_are_refused(
    storage: StorageBackend, row_type: type[Row], field: str, value: Any, message: str
) -> None:
    with pytest.raises(SerializationError) as refused:
        await store(storage, sample(row_type, **{field: value}))
    assert message in str(refused.value)


async def test_other_tenants_rows_and_pages_out_of_range_are_refused(storage: StorageBackend) -> None:
    with pytest.raises(TenantMismatchError):
        await storage.for_tenant("a").save_trace(sample(TraceRow, "b"))
    with pytest.raises(ValueError, match="limit"):
        await storage.load_traces(-1)


async def test_without_a_url_the_storage_is_in_memory_and_a_warning_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    async with open_storage() as storage:
        assert isinstance(storage.backend, InMemoryBackend)
    [record] = [record for record in caplog.records if record.name.startswith("axon_storage")]
    assert record.levelno == logging.WARNING
    assert "nothing will be stored" in record.getMessage()


async def test_memory_in_a_url_logs_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with open_storage("memory://", require_tenant=True) as storage:
        assert isinstance(storage.backend, InMemoryBackend)
        with pytest.raises(TenantMismatchError):
            await storage.save_trace(sample(TraceRow))
    assert not caplog.records


async def test_a_transaction_inside_a_transaction_is_refused(storage: StorageBackend) -> None:
    async with storage.transaction() as transaction:
        with pytest.raises(QueryError, match="transactions cannot be nested"):
            async with transaction.transaction():
                pass
    async with storage.transaction() as transaction:
        await transaction.save_trace(sample(TraceRow))


async def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match=r"has no option 'requre_tenant'; its options are .*require_tenant"):
        async with open_storage("memory://", requre_tenant=True):  # type: ignore[call-arg]  # misspelled on purpose
            pass
