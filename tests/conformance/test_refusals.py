"""Values outside the domain are refused before anything is sent, by an error that names the field."""

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    EventRow,
    SerializationError,
    StorageBackend,
    TraceRow,
)
from axon_storage.testing.samples import sample
from axon_storage.testing.suite.refusals import *  # noqa: F403


async def test_nothing_is_sent_for_a_row_that_is_refused(
    storage: StorageBackend, tenant: str, engine: AsyncEngine
) -> None:
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    refused = sample(EventRow, tenant, payload=float("nan"))
    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        for call in (storage.append_event(refused), storage.save_many([sample(TraceRow, tenant), refused])):
            with pytest.raises(SerializationError):
                await call
        assert sent == []
        await storage.append_event(sample(EventRow, tenant))
        assert sent != []
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)
