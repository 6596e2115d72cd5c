"""Spans: one for each call and each group commit, with parents and links, also of failed and cancelled calls."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    EventRow,
    QueryError,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageConnectionError,
    StorageDispatcher,
    create_engine,
    operation_timeout,
)
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import CALLS, appends, refusing
from tests.telemetry import Telemetry, attributes_of, current, id_of, parent_of


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
async def apart(url: str, telemetry: Telemetry) -> AsyncIterator[SqlRepository]:
    """A storage with connections of its own, for tests that cancel calls."""
    async with SqlRepository(create_engine(url), **telemetry.options) as storage:
        yield storage


@pytest.fixture
def observed(engine: AsyncEngine, telemetry: Telemetry) -> SqlRepository:
    return SqlRepository(engine, **telemetry.options)


@pytest.mark.needs_role("app+maintenance", reason="it erases")
async def test_each_step_of_an_erasure_has_a_span(observed: SqlRepository, telemetry: Telemetry) -> None:
    acme = observed.for_tenant("acme")
    await acme.save_session(sample(SessionRow, "acme"))
    telemetry.clear()
    await acme.erase_tenant()
    assert {attributes_of(span)["db.operation.name"] for span in telemetry.spans.ended} == {"erase_tenant"}
    assert "sessions" in {attributes_of(span).get("db.collection.name") for span in telemetry.spans.ended}


async def test_a_call_is_the_child_of_the_callers_span(observed: SqlRepository, telemetry: Telemetry) -> None:
    tracer = telemetry.tracer_provider.get_tracer("host")
    with tracer.start_as_current_span("request", attributes={"db.operation.name": "request"}) as request:
        await observed.load_traces(1)
        assert current() == request.get_span_context().span_id
        await asyncio.gather(*appends(observed, range(CALLS)))
        async with aclosing(observed.iter_events(page_size=1)) as events:
            await anext(events)
            assert current() == request.get_span_context().span_id  # an iterator that is not finished leaves nothing
    assert current() == 0
    calls = [*telemetry.named("load_traces"), *telemetry.named("append_event"), *telemetry.named("iter_events")]
    assert len(calls) == 1 + CALLS + 1
    assert {parent_of(span) for span in calls} == {request.get_span_context().span_id}


async def test_a_group_commit_has_links_to_the_calls_that_it_carries(
    observed: SqlRepository, telemetry: Telemetry
) -> None:
    await asyncio.gather(*appends(observed, range(CALLS)))
    calls, batches = telemetry.named("append_event"), telemetry.group_commits()
    assert len(calls) == CALLS
    links = [link.context.span_id for span in batches for link in span.links]
    assert len(links) == len(set(links)) == CALLS - 1  # the first call was sent alone
    assert set(links) <= {id_of(span) for span in calls}
    for span in batches:
        assert span.name == "BATCH append_event event_history"
        assert (span.kind, span.parent) == (SpanKind.CLIENT, None)
        assert attributes_of(span).get("db.operation.batch.size", 1) == len(span.links)


async def test_a_group_commit_of_several_methods_names_none(observed: SqlRepository, telemetry: Telemetry) -> None:
    await asyncio.gather(
        observed.append_audit(sample(AuditRow)),
        observed.append_event(sample(EventRow)),
        observed.save_session(sample(SessionRow)),
    )
    [batch] = telemetry.group_commits()
    assert attributes_of(batch)["db.operation.name"] == "BATCH"
    assert "db.collection.name" not in attributes_of(batch)
    assert attributes_of(batch)["db.operation.batch.size"] == 2


async def test_a_transaction_is_the_parent_of_its_steps_and_calls_and_of_the_applications_spans(
    observed: SqlRepository, telemetry: Telemetry
) -> None:
    tracer = telemetry.tracer_provider.get_tracer("host")
    with tracer.start_as_current_span("request", attributes={"db.operation.name": "request"}) as request:
        async with observed.transaction() as transaction:
            await transaction.save_session(sample(SessionRow))
            with tracer.start_as_current_span("own", attributes={"db.operation.name": "own"}):
                await transaction.append_event(sample(EventRow))
        assert current() == request.get_span_context().span_id
    operations = ["BEGIN", "save_session", "append_event", "own", "COMMIT", "transaction", "request"]
    assert [attributes_of(span)["db.operation.name"] for span in telemetry.spans.ended] == operations
    by_name = dict(zip(operations, telemetry.spans.ended, strict=True))
    block = by_name["transaction"]
    assert block.kind is SpanKind.INTERNAL
    assert parent_of(block) == id_of(by_name["request"])
    assert parent_of(by_name["append_event"]) == id_of(by_name["own"])
    assert {parent_of(by_name[name]) for name in ("BEGIN", "save_session", "own", "COMMIT")} == {id_of(block)}


async def test_a_transaction_that_raises_has_a_rollback_and_an_error(
    observed: SqlRepository, telemetry: Telemetry
) -> None:
    with pytest.raises(ValueError, match="a secret"):
        async with observed.transaction() as transaction:
            await transaction.save_session(sample(SessionRow))
            raise ValueError("a secret")
    [rollback], [block] = telemetry.named("ROLLBACK"), telemetry.named("transaction")
    assert rollback.status.status_code is StatusCode.UNSET
    assert (block.status.status_code, block.status.description) == (StatusCode.ERROR, None)
    assert attributes_of(block)["error.type"] == "ValueError"
    assert telemetry.named("COMMIT") == []
    assert telemetry.spans.open == set()


async def test_a_transaction_that_ends_in_another_task_does_not_change_the_span_there(
    observed: SqlRepository, telemetry: Telemetry
) -> None:
    block = observed.transaction()
    transaction = await asyncio.create_task(_result(block.__aenter__()))
    await transaction.save_session(sample(SessionRow))
    tracer = telemetry.tracer_provider.get_tracer("host")
    with tracer.start_as_current_span("own", attributes={"db.operation.name": "own"}) as own:
        await block.__aexit__(None, None, None)
        assert current() == own.get_span_context().span_id
    assert telemetry.spans.open == set()


async def _result(work: Awaitable[Any]) -> Any:
    return await work


@pytest.mark.needs_role("owner", reason="it adds a constraint")
async def test_a_refused_row_is_an_error_of_its_call_and_of_each_group_commit_with_it(
    observed: SqlRepository, engine: AsyncEngine, telemetry: Telemetry, target: str
) -> None:
    async with refusing(engine, target):
        names = ["bad" if number == 17 else f"good {number}" for number in range(CALLS)]
        outcomes = await asyncio.gather(*appends(observed, names), return_exceptions=True)
    [error] = [outcome for outcome in outcomes if isinstance(outcome, QueryError)]
    failed = [span for span in telemetry.named("append_event") if span.status.status_code is StatusCode.ERROR]
    assert len(failed) == 1
    assert attributes_of(failed[0])["db.response.status_code"] == error.code
    assert attributes_of(failed[0])["error.type"] == error.code
    assert failed[0].status.description == str(error)
    refused = [span for span in telemetry.group_commits() if span.status.status_code is StatusCode.ERROR]
    assert len(refused) > 1  # the batch was split until the row was alone
    for span in refused:
        assert id_of(failed[0]) in [link.context.span_id for link in span.links]
        assert attributes_of(span)["db.response.status_code"] == error.code
    assert telemetry.total("axon_storage.refused_rows", error__type=error.code) == 1
    calls = (await observed.stats()).calls
    assert calls is not None
    assert (calls.errors, calls.refused_rows, calls.calls) == (1, 1, CALLS + 1)


async def test_the_tenant_is_an_attribute_only_if_it_is_asked_for(engine: AsyncEngine, telemetry: Telemetry) -> None:
    for wanted in (False, True):
        telemetry.clear()
        storage = SqlRepository(engine, **telemetry.options, tenant_in_spans=wanted)
        acme = storage.for_tenant("acme")
        await acme.load_traces(1)
        async with acme.transaction() as transaction:
            await transaction.load_traces(1)
        found = {attributes_of(span)["db.operation.name"]: attributes_of(span) for span in telemetry.spans.ended}
        tenants = [found[name].get("axon_storage.tenant") for name in ("load_traces", "transaction")]
        assert tenants == (["acme"] * 2 if wanted else [None] * 2)
        assert not any("acme" in str(each) for each, _ in telemetry.points("db.client.operation.duration"))


async def test_a_dispatcher_and_a_view_make_no_span_of_their_own(observed: SqlRepository, telemetry: Telemetry) -> None:
    dispatcher = StorageDispatcher(observed)
    await dispatcher.for_tenant("acme").load_traces(1)
    await dispatcher.stats()
    async with dispatcher.for_tenant("acme").transaction() as transaction:
        await transaction.load_daemons()
    operations = [attributes_of(span)["db.operation.name"] for span in telemetry.spans.ended]
    assert operations == ["load_traces", "stats", "BEGIN", "load_daemons", "COMMIT", "transaction"]


async def test_no_span_is_lost_or_left_open_by_cancellations_and_timeouts(
    apart: SqlRepository, telemetry: Telemetry
) -> None:
    dice = random.Random(7)  # noqa: S311  # repeatable

    async def call(number: int) -> None:
        match number % 4:
            case 0:
                await apart.append_event(sample(EventRow))
            case 1:
                await apart.save_session(sample(SessionRow, key=f"{number % 3}"))
            case 2:
                await apart.load_traces(3)
            case _:
                async with apart.transaction() as transaction:
                    await transaction.append_event(sample(EventRow))

    async def limited(number: int) -> None:
        with operation_timeout(dice.choice([1e-4, 3e-3, 60])):
            await call(number)

    for _ in range(4):
        tasks = [asyncio.create_task(limited(number)) for number in range(CALLS)]
        for task in tasks:
            asyncio.get_running_loop().call_later(dice.uniform(0, 0.1), task.cancel) if dice.random() < 0.5 else None
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(end) for end in ends} - {type(None)}  # some were cut short
    while apart.group_commit.in_flight:
        await asyncio.wait(apart.group_commit.in_flight)
    assert telemetry.spans.open == set()
    ids = [id_of(span) for span in telemetry.spans.ended]
    assert len(ids) == len(set(ids))
    calls = Counter(attributes_of(span)["db.operation.name"] for span in telemetry.spans.ended)
    assert calls["append_event"] >= CALLS
    assert current() == 0


async def test_a_cancelled_and_a_late_call_are_errors(apart: SqlRepository, telemetry: Telemetry) -> None:
    async with apart.transaction() as transaction:
        await transaction.save_session(sample(SessionRow))
        with operation_timeout(1):  # the double of Oracle does not interrupt a statement that waits for a lock
            waiting = asyncio.create_task(apart.save_session(sample(SessionRow)))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.wait({waiting})
        with operation_timeout(0.1), pytest.raises(StorageConnectionError):
            await asyncio.create_task(apart.save_session(sample(SessionRow)))
    outside = [span for span in telemetry.named("save_session") if span.status.status_code is StatusCode.ERROR]
    types = [attributes_of(span)["error.type"] for span in outside]
    assert types == ["asyncio.exceptions.CancelledError", "TimedOutError"]
    times = attributes_of(outside[-1])
    waited = [times[f"axon_storage.time.{phase}"] for phase in ("turn", "connection", "database")]
    assert sum(waited) >= 0.09


@pytest.mark.needs_role("owner", reason="it adds a constraint")
async def test_spans_contain_no_value_and_no_password(engine: AsyncEngine, telemetry: Telemetry, target: str) -> None:
    storage = SqlRepository(engine, **telemetry.options)
    secret = "the secret"
    async with refusing(engine, target):
        row = sample(EventRow, topic=secret, source="bad", payload=[secret])
        for backend in (storage, storage.for_tenant("the secret tenant")):
            calls = [backend.append_event(sample(EventRow, **_fields(row, backend))) for _ in range(3)]
            assert all(isinstance(end, QueryError) for end in await asyncio.gather(*calls, return_exceptions=True))
        await storage.save_session(sample(SessionRow, scope=secret, key=secret, value=secret))
        await storage.get_session(secret, secret)
    shown = " ".join(span.to_json() for span in telemetry.spans.ended)
    metrics = f"{telemetry.points('db.client.operation.duration')} {telemetry.points('axon_storage.refused_rows')}"
    assert "append_event" in shown
    assert "append_event" in metrics
    assert secret not in shown + metrics
    if engine.url.password:
        assert str(engine.url.password) not in shown + metrics


def _fields(row: EventRow, backend: StorageBackend) -> dict[str, Any]:
    return {"tenant": backend.current_tenant(), "topic": row.topic, "source": row.source, "payload": row.payload}
