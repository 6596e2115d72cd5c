"""Tenants: no method reaches another tenant's rows."""

import asyncio
import copy
import logging
import pickle
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    InMemoryBackend,
    SerializationError,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageDispatcher,
    TenantMismatchError,
    TraceRow,
    tenant_scope,
)
from axon_storage.model.rows import ROW_TYPES, Row, fields_of
from axon_storage.tenancy import current_tenant
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.tenants import *  # noqa: F403
from axon_storage.testing.verbs import KEYED, load, store


async def test_the_tenant_is_that_of_the_view_else_of_the_scope_else_the_default(repository: SqlRepository) -> None:
    await repository.save_trace(sample(TraceRow, "default"))
    with tenant_scope("scoped"):
        await repository.save_trace(sample(TraceRow, "scoped"))
        await repository.for_tenant("viewed").save_trace(sample(TraceRow, "viewed"))
        with tenant_scope("inner"):
            assert await repository.load_traces(9) == []
        assert await repository.load_traces(9) == [sample(TraceRow, "scoped")]
    assert await repository.load_traces(9) == [sample(TraceRow, "default")]
    assert await repository.tenant_ids() == ["default", "scoped", "viewed"]


async def test_a_scope_belongs_to_its_task(repository: SqlRepository) -> None:
    async def save(tenant: str) -> None:
        with tenant_scope(tenant):
            await asyncio.sleep(0)
            await repository.save_trace(sample(TraceRow, tenant))

    names = [f"tenant {number}" for number in range(10)]
    await asyncio.gather(*(save(name) for name in names))
    assert await repository.tenant_ids() == names


async def test_a_generator_closed_in_another_context_leaves_tenant_scope_without_an_error() -> None:
    async def scoped() -> AsyncGenerator[str, None]:
        with tenant_scope("acme"):
            yield current_tenant()

    async def first() -> str:
        return await anext(generator)

    generator = scoped()
    assert await asyncio.create_task(first()) == "acme"
    await asyncio.create_task(generator.aclose())  # as an event loop closes a generator that was not exhausted
    assert current_tenant() == "default"


async def test_for_tenant_in_a_generator_does_not_affect_its_consumer(repository: SqlRepository) -> None:
    async def keys() -> AsyncGenerator[str, None]:
        for entry in await repository.for_tenant("acme").load_sessions("name"):
            yield entry.key

    await repository.for_tenant("acme").save_session(sample(SessionRow, "acme"))
    async for _ in keys():
        assert await repository.load_sessions("name") == []


def _without_tenant(row_type: type[Row], **fields: Any) -> Row:
    values = {field.name: getattr(sample(row_type), field.name) for field in fields_of(row_type)} | fields
    del values["tenant_id"]
    return row_type(**values)


@pytest.mark.parametrize("row_type", ROW_TYPES)
async def test_a_row_without_a_tenant_gets_that_of_the_call(repository: SqlRepository, row_type: type[Row]) -> None:
    row = _without_tenant(row_type)
    view = repository.for_tenant("viewed")
    await store(view, row)
    with tenant_scope("scoped"):
        await repository.save_many([row])
    async with repository.transaction() as transaction:
        await store(transaction, row)
        if row_type in KEYED:
            assert await transaction.for_tenant("created").create(row)
    tenants = ["default", "scoped", "viewed", *(["created"] if row_type in KEYED else [])]
    assert await repository.tenant_ids() == sorted(tenants)
    for tenant in tenants:
        assert await load(repository.for_tenant(tenant), row_type) == [sample(row_type, tenant)]
    assert repr(row).startswith(f"{row_type.__name__}(tenant_id=UNSET, ")  # the caller's row is not changed
    assert row == copy.deepcopy(row) == pickle.loads(pickle.dumps(row)) != sample(row_type)  # noqa: S301  # own data
    with pytest.raises(SerializationError, match="tenant_id"):
        await store(view, sample(row_type, ""))


async def test_a_row_without_a_tenant_is_refused_if_the_call_has_none(engine: AsyncEngine) -> None:
    storage = SqlRepository(engine, require_tenant=True)
    with pytest.raises(TenantMismatchError, match="no tenant"):
        await storage.save_many([_without_tenant(SessionRow)])


async def test_with_require_tenant_a_call_without_a_tenant_is_refused(engine: AsyncEngine) -> None:
    storage = SqlRepository(engine, require_tenant=True)
    with pytest.raises(TenantMismatchError, match="no tenant"):
        await storage.save_trace(sample(TraceRow))
    with pytest.raises(TenantMismatchError, match="no tenant"):
        await storage.load_daemons()
    async with storage.transaction() as transaction:
        with pytest.raises(TenantMismatchError, match="no tenant"):
            await transaction.session_scopes()
        await transaction.for_tenant("a").save_trace(sample(TraceRow, "a"))
    with tenant_scope("b"):
        await storage.save_trace(sample(TraceRow, "b"))
    assert await storage.tenant_ids() == ["a", "b"]


@pytest.mark.parametrize("tenant", ["", "x" * 65, "a\0b", "\ud800", None, 7, b"a"])
async def test_a_tenant_outside_the_domain_is_refused(repository: SqlRepository, tenant: str) -> None:
    with pytest.raises(SerializationError, match=r": tenant_id: "):
        repository.for_tenant(tenant)
    with pytest.raises(SerializationError, match=r": tenant_id: "), tenant_scope(tenant):
        pass
    with pytest.raises(SerializationError, match=r"audit_log\.tenant_id: "):
        await repository.append_audit(sample(AuditRow, tenant))


FELL_BACK = "a call without a tenant uses 'default', although this storage was used with another tenant before"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.name.startswith("axon_storage")]
    return [record.getMessage().partition(":")[0] for record in records if record.levelno == logging.WARNING]


async def test_a_call_without_a_tenant_after_a_named_one_is_logged_once(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    def dependency() -> Iterator[None]:
        with tenant_scope("acme"):
            yield

    storage = SqlRepository(engine)
    await storage.load_traces(1)
    async with storage.transaction() as transaction:
        await transaction.load_traces(1)
    assert warnings(caplog) == []  # no named tenant has been served yet
    await storage.for_tenant("acme").load_traces(1)
    generator = dependency()
    await asyncio.to_thread(next, generator)  # as FastAPI runs a synchronous dependency
    assert warnings(caplog) == []
    await storage.save_trace(sample(TraceRow))  # the handler, in which the scope is not set
    assert warnings(caplog) == [FELL_BACK]
    await asyncio.to_thread(next, generator, None)
    await storage.load_traces(1)
    async with storage.transaction() as transaction:
        await transaction.load_traces(1)
    assert warnings(caplog) == [FELL_BACK]
    assert await storage.tenant_ids() == ["default"]


def by_view(storage: StorageBackend) -> None:
    storage.for_tenant("acme")


def by_scope(storage: StorageBackend) -> None:
    with tenant_scope("acme"):
        storage.current_tenant()


def by_switch(storage: StorageBackend) -> None:
    assert isinstance(storage, StorageDispatcher)
    storage.for_tenant("acme")
    storage.switch_to(InMemoryBackend())


@pytest.mark.parametrize("names", [by_view, by_scope, by_switch])
def test_a_dispatcher_and_its_backend_log_one_warning_together(
    names: Callable[[StorageBackend], None], caplog: pytest.LogCaptureFixture
) -> None:
    storage = StorageDispatcher.in_memory()
    names(storage)
    for _ in range(2):
        assert storage.current_tenant() == storage.backend.current_tenant() == "default"
    assert warnings(caplog) == [FELL_BACK]


async def test_a_tenant_named_inside_a_transaction_counts_as_named_for_its_storage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = InMemoryBackend()
    async with storage.transaction() as transaction:
        transaction.for_tenant("acme")
    assert storage.current_tenant() == "default"
    assert warnings(caplog) == [FELL_BACK]


def test_naming_the_default_tenant_logs_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    storage = InMemoryBackend()
    storage.for_tenant("default")
    with tenant_scope("default"):
        storage.current_tenant()
    storage.current_tenant()  # no other tenant has been named
    storage.for_tenant("acme")
    assert storage.for_tenant("default").current_tenant() == "default"
    with tenant_scope("default"):
        storage.current_tenant()
    assert warnings(caplog) == []


def test_with_require_tenant_no_warning_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    storage = InMemoryBackend(require_tenant=True)
    storage.for_tenant("acme")
    with pytest.raises(TenantMismatchError, match="no tenant"):
        storage.current_tenant()
    assert warnings(caplog) == []
