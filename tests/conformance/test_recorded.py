"""``save_many`` stores Recorded rows under the ids and timestamps that they carry."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from axon_storage import (
    EventRow,
    InMemoryBackend,
    InvalidArgumentError,
    Recorded,
    Row,
    SerializationError,
    SqlRepository,
    StorageBackend,
    TenantMismatchError,
    TraceRow,
    new_id,
)
from axon_storage.model.ids import timestamp_of
from axon_storage.testing.iteration import collect, numbered, recorded_rows
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.recorded import *  # noqa: F403
from axon_storage.testing.verbs import KEYED


@pytest.mark.parametrize("backend", ["memory", "sql"])
async def test_recorded_rows_that_are_not_consistent_are_refused(repository: SqlRepository, backend: str) -> None:
    storage: StorageBackend = repository if backend == "sql" else InMemoryBackend()
    [good] = recorded_rows(EventRow, "default", 1)
    later, naive = good.timestamp + timedelta(microseconds=1), good.timestamp.replace(tzinfo=None)
    timestamps: list[Any] = [later, naive, None]
    for wrong in timestamps:
        with pytest.raises(InvalidArgumentError, match=r"save_many: Recorded\.timestamp must be that of its id, 2001-"):
            await storage.save_many([good, replace(good, timestamp=wrong)])
    with pytest.raises(InvalidArgumentError, match=r"Recorded\.id: not a UUIDv7"):
        await storage.save_many([Recorded("an id", good.timestamp, good.row)])  # type: ignore[arg-type]  # refused
    with pytest.raises(TenantMismatchError):
        await storage.save_many([replace(good, row=sample(EventRow, "other"))])
    with pytest.raises(SerializationError, match=r"event_history\.topic"):
        await storage.save_many([replace(good, row=sample(EventRow, topic=1))])
    with pytest.raises(InvalidArgumentError, match="a Recorded has no id"):
        await storage.save_many([replace(good, row=good)])
    with pytest.raises(SerializationError, match="Recorded is not a EventRow"):
        await storage.append_event(good)  # type: ignore[arg-type]  # refused for that
    assert await collect(storage, EventRow) == []


@pytest.mark.parametrize("backend", ["memory", "sql"])
async def test_two_traces_of_a_call_with_one_id_are_refused(repository: SqlRepository, backend: str) -> None:
    storage: StorageBackend = repository if backend == "sql" else InMemoryBackend()
    [one] = recorded_rows(TraceRow, "default", 1)
    two = replace(one, row=numbered(TraceRow, "default", 2))
    with pytest.raises(InvalidArgumentError, match=r"save_many: Recorded\.id: two traces have the same id"):
        await storage.save_many([one, sample(EventRow), two])
    async with storage.transaction() as transaction:
        with pytest.raises(InvalidArgumentError, match="two traces have the same id"):
            await transaction.save_many([one, two])
    assert await collect(storage, TraceRow) == []
    await storage.save_many([one, one])
    if backend == "sql":
        assert await collect(storage, TraceRow) == [one]


@pytest.mark.parametrize("row_type", [row_type for row_type in KEYED if row_type is not TraceRow])
async def test_a_recorded_row_of_a_type_without_ids_is_refused(row_type: type[Row]) -> None:
    row_id = new_id()
    with pytest.raises(InvalidArgumentError, match=f"a {row_type.__name__} has no id; pass the row itself"):
        await InMemoryBackend().save_many([Recorded(row_id, timestamp_of(row_id), sample(row_type))])
