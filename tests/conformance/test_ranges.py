"""Ranges of keys: a part of the entries of a scope, and a part of the scopes, by code point."""

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    DaemonRow,
    InvalidArgumentError,
    Row,
    SerializationError,
    SessionRow,
    SqlRepository,
    StorageBackend,
)
from axon_storage.dialects import dialect_of
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.ranges import *  # noqa: F403
from axon_storage.testing.suite.ranges import LONG
from axon_storage.testing.verbs import store


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": LONG}, SerializationError, "start: 256 characters, at most 255"),
        ({"end": LONG}, SerializationError, "end: 256 characters, at most 255"),
        ({"start": "a\0"}, SerializationError, "start: U\\+0000"),
        ({"end": 7}, SerializationError, "end: 7 is not a str"),
        ({"limit": -1}, InvalidArgumentError, "limit must be"),
        ({"limit": 2**63}, InvalidArgumentError, "limit must be"),
        ({"limit": "1"}, InvalidArgumentError, "limit must be"),
        ({"reverse": 1}, InvalidArgumentError, "reverse must be True or False"),
    ],
)
async def test_an_invalid_range_is_refused_before_anything_is_sent(
    repository: SqlRepository, engine: AsyncEngine, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        with pytest.raises(error, match=f"load_sessions: {message}"):
            await repository.load_sessions("s", **options)
        if "reverse" not in options:
            with pytest.raises(error, match=f"session_scopes: {message}"):
                await repository.session_scopes(**options)
        assert sent == []
        await repository.load_sessions("s")
        assert sent != []
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


async def test_any_number_of_scopes_is_listed(storage: StorageBackend, engine: AsyncEngine, tenant: str) -> None:
    values = dialect_of(engine.dialect).distinct_values
    scopes = [f"{number:04}" for number in range(2 * values + 3)]
    await storage.save_many(sample(SessionRow, tenant, scope=scope) for scope in scopes)
    assert await storage.session_scopes() == scopes
    for limit in (values, values + 1):
        assert await storage.session_scopes(limit=limit) == scopes[:limit]
    async with storage.transaction() as transaction:
        assert await transaction.session_scopes(start="0001", end="0004") == scopes[1:4]
    await storage.delete_session(scopes[-1], "name")  # the last statement finds no other scope
    assert await storage.session_scopes() == scopes[:-1]


async def test_any_number_of_tenants_is_listed(repository: SqlRepository) -> None:
    tenants = [f"{number:04}" for number in range(dialect_of(repository.engine.dialect).distinct_values + 3)]
    for row_type, some in ((AuditRow, tenants[:-1]), (SessionRow, tenants[1:]), (DaemonRow, tenants[::50])):
        await _save_for(repository, row_type, some)
    assert await repository.tenant_ids() == tenants


async def _save_for(repository: SqlRepository, row_type: type[Row], tenants: list[str]) -> None:
    async with repository.transaction() as transaction:
        for tenant in tenants:
            await store(transaction.for_tenant(tenant), sample(row_type, tenant))
