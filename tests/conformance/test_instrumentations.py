"""Beside OpenTelemetry's instrumentations of SQLAlchemy and asyncpg: nothing doubles, and their spans are children."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import SessionRow, SqlRepository, create_engine
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import CALLS, appends
from tests.telemetry import Telemetry, id_of, parent_of


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def instrumented(url: str, telemetry: Telemetry) -> Iterator[AsyncEngine]:
    """An engine with both instrumentations."""
    engine = create_engine(url)
    options = {"tracer_provider": telemetry.tracer_provider, "meter_provider": telemetry.meter_provider}
    sqlalchemy = SQLAlchemyInstrumentor()
    asyncpg = AsyncPGInstrumentor()  # type: ignore[no-untyped-call]  # its package has no types
    sqlalchemy.instrument(engine=engine.sync_engine, skip_dep_check=True, **options)
    asyncpg.instrument(skip_dep_check=True, **options)
    yield engine
    asyncpg.uninstrument()
    sqlalchemy.uninstrument()


def _ours(span: ReadableSpan) -> bool:
    return span.instrumentation_scope is not None and span.instrumentation_scope.name == "axon_storage"


async def test_statements_are_children_of_our_spans_and_nothing_doubles(
    instrumented: AsyncEngine, telemetry: Telemetry
) -> None:
    async with SqlRepository(instrumented, **telemetry.options) as storage:
        await storage.load_traces(1)
        telemetry.clear()
        await storage.save_session(sample(SessionRow))
        await asyncio.gather(*appends(storage, range(CALLS)))
        async with storage.transaction() as transaction:
            await transaction.load_sessions("name")
        ours = [span for span in telemetry.spans.ended if _ours(span)]
        theirs = [span for span in telemetry.spans.ended if not _ours(span)]
    names = Counter(span.name.split()[0] for span in ours)
    batches = names.pop("BATCH")
    assert names == {
        "save_session": 1,
        "append_event": CALLS,
        "load_sessions": 1,
        "BEGIN": 1,
        "COMMIT": 1,
        "transaction": 1,
    }
    assert 1 <= batches <= CALLS / 8
    known = {id_of(span) for span in telemetry.spans.ended}
    sent = [span for span in theirs if span.name.startswith(("INSERT", "MERGE", "SELECT"))]
    assert sent
    assert {parent_of(span) for span in sent} <= known
    assert telemetry.spans.open == set()
    assert telemetry.total("db.client.operation.duration", db__operation__name="append_event") == CALLS
    assert telemetry.total("db.client.operation.duration", db__operation__name="save_session") == 1
