"""Collect every statement that is sent to an Oracle: by opening, by each public method, and by the migrations."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, event, null
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    EventRow,
    InvalidArgumentError,
    SqlRepository,
    StorageBackend,
    TraceRow,
    new_id,
    schema,
)
from axon_storage.audit import seal, verify
from axon_storage.dialects import execute
from axon_storage.model.maintenance import ListPruned, NotePruned
from axon_storage.model.requests import DeleteTableRows, ReadTablePage, WriteTablePage
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.pruning import DAY, NOW, id_at, key_fields, prune
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import KEYED, delete, get, load, store
from axon_storage.transfer.pages import key_indexes
from tests.pruning import set_age


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


async def _follow(storage: Any) -> None:
    """Give an event, and a late one."""
    for topic in ("followed", None):
        late = new_id()
        last = await storage.append_event(sample(EventRow, topic="followed"))
        async with aclosing(storage.follow_events(topic, after=last, poll=0.01)) as events:
            step = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.2)
            await storage.append_event(sample(EventRow, topic="followed"), id=late)
            await step


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
    _ = [recorded async for recorded in storage.iter_traces(flow="name", after=new_id(), reverse=True)]
    await storage.load_traces(3, flow="name")
    for row_type in KEYED:
        await get(storage, sample(row_type))
    for row_type in KEYED:
        await storage.create(sample(row_type))
    await storage.save_many([sample(row_type) for row_type in ROW_TYPES] * 2, keep_existing=True)
    for row_type in ROW_TYPES:
        _ = [row async for row in storage.scan(row_type, page_size=1)]
    await storage.load_sessions("name", start="a", end="z", limit=2)
    await storage.load_sessions("name", reverse=True)
    await storage.session_scopes(start="a", end="z", limit=2)
    await _follow(storage)
    await storage.summarize_traces(by=("flow", "status", "hour"))
    await storage.summarize_costs(by="day", flow="name")
    await storage.summarize_events(by=("topic", "hour"), topic="name")
    await storage.delete_sessions("nowhere", ["a"])
    await storage.delete_sessions("nowhere")
    await asyncio.gather(*(storage.delete_sessions("nowhere", start="a", end=end) for end in ("b", "c", "d")))
    await storage.evict_expired_cache()
    await storage.tenant_ids()
    await storage.stats()
    await storage.is_healthy()
    await storage.health()
    await _transfer(SqlRepository(engine))
    await _seal(engine)
    for row_type in KEYED:
        await delete(storage, sample(row_type))
    await _prune_and_erase(storage, engine)
    return storage.methods  # type: ignore[no-any-return]  # Noting's


async def _prune_and_erase(storage: Any, engine: AsyncEngine) -> None:
    """Prune and erase tables, with several pages, with rows of unknown age, and of one flow, topic or scope."""
    view = SqlRepository(engine).for_tenant("default")
    storage.methods.add("erase_tenant")  # it needs a view
    for row_type in ROW_TYPES:
        rows = [sample(row_type, **key_fields(row_type, number)) for number in range(2)]
        await view.save_many(rows)
        if row_type in KEYED and row_type is not TraceRow:
            await set_age(engine, row_type, null())
            await prune(storage, row_type, NOW)
        view_of_pages = SqlRepository(engine)
        view_of_pages.prune_rows = 1
        await prune(view_of_pages, row_type, NOW + DAY)
        await view.save_many(rows)
    for name, kind in (("traces", "flow"), ("events", "topic"), ("costs", "flow"), ("sessions", "scope")):
        await getattr(storage, f"prune_{name}")(NOW + DAY, **{kind: "name"})
    for row_type in ROW_TYPES:
        await prune(storage, row_type, NOW)
    await storage.append_event(sample(EventRow), id=id_at(datetime.now(UTC)))
    with suppress(InvalidArgumentError):
        await storage.append_event(sample(EventRow), id=id_at(NOW - DAY))
    view.prune_rows = 1
    await view.erase_tenant()


async def _seal(engine: AsyncEngine) -> None:
    """Seal and verify the audit log, also after a prune run."""
    repository = SqlRepository(engine)
    for number in range(3):
        await repository.append_audit(sample(AuditRow), id=id_at(NOW - DAY, number))
    await seal(repository)
    await repository.prune_audit(NOW)
    await seal(repository)
    await verify(repository)


async def _transfer(repository: SqlRepository) -> None:
    """Read, write and delete whole rows, as a copy does, and copy what is recorded about prune runs."""
    for row_type in ROW_TYPES:
        names: dict[str, Any] = {"operation": "copy", "tenant": "default", "row_type": row_type}
        page = await repository.execute(ReadTablePage(**names, after=(), max_rows=9, max_bytes=2**20))
        key = tuple(page.rows[-1][index] for index in key_indexes(row_type))
        await repository.execute(ReadTablePage(**names, after=key, max_rows=9, max_bytes=2**20))
        await repository.execute(WriteTablePage(**names, rows=page.rows))
        await repository.execute(DeleteTableRows(**names, keys=[key]))
        await repository.execute(WriteTablePage(**names, rows=page.rows[-1:]))
    pruned = await repository.execute(ListPruned(operation="move", tenant="default"))
    await repository.execute(NotePruned(operation="move", tenant="default", pruned={**pruned, "traces": NOW}))
