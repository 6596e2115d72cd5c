"""Collect every statement that is sent to an Oracle: by opening, by each public method, and by the migrations."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SqlRepository, StorageBackend, schema
from axon_storage.dialects import execute
from axon_storage.model.rows import ROW_TYPES
from tests.samples import sample
from tests.verbs import KEYED, delete, load, store


class Noting:
    """A storage that records which of its methods were used."""

    def __init__(self, storage: StorageBackend) -> None:
        self._storage = storage
        self.methods: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.methods.add(name)
        return getattr(self._storage, name)


@contextmanager
def listening(engine: AsyncEngine, patch: Any) -> Iterator[list[str]]:
    """Collect the statements that are sent to an engine's database, and those that prepare connections."""
    sent: list[str] = []

    def prepared(connection: Any, statement: str) -> Any:
        sent.append(statement)
        return execute(connection, statement)

    def before(connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        if connection.engine.url == engine.url:  # a migration has an engine of its own
            sent.append(statement)

    patch.setattr("axon_storage.dialects.oracle.execute", prepared)
    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", before)


async def call_every_method(engine: AsyncEngine) -> set[str]:
    """Upgrade the schema, call every public method of a storage in each of its forms, and return their names."""
    await schema.upgrade(engine)
    await schema.check(engine)
    storage: Any = Noting(SqlRepository(engine))
    for row_type in ROW_TYPES:
        await store(storage, sample(row_type))
        await load(storage, row_type)
    await storage.save_many([sample(row_type) for row_type in ROW_TYPES] * 2)
    await asyncio.gather(*(store(storage, sample(row_type)) for row_type in ROW_TYPES * 2))  # these share batches
    async with storage.transaction() as transaction:
        await transaction.load_traces(3, 2)
    await storage.load_traces(3, 2)
    for query in (storage.query_events, storage.query_costs):
        await query("name", 3)
    for entries, kind in ((storage.iter_traces, "flow"), (storage.iter_events, "topic"), (storage.iter_costs, "flow")):
        for name in ("name", None):
            _ = [recorded async for recorded in entries(**{kind: name})]
    _ = [recorded async for recorded in storage.iter_audit()]
    for get in (storage.get_session, storage.get_cache_entry):
        await get("name", "name")
    await storage.get_trace(7)
    await storage.evict_expired_cache()
    await storage.tenant_ids()
    await storage.stats()
    await storage.is_healthy()
    for row_type in KEYED:
        await delete(storage, sample(row_type))
    return storage.methods  # type: ignore[no-any-return]  # Noting's
