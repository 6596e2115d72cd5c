"""Spans, metrics, logs and counters under network faults."""

import asyncio
import logging
import random

import pytest
from opentelemetry.trace import StatusCode

from axon_storage import (
    EventRow,
    SessionRow,
    SqlRepository,
    StorageBackend,
    StorageConnectionError,
    StorageError,
    TraceRow,
    create_engine,
)
from axon_storage.model.stats import CallStats
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import CALLS, appends, save, start
from tests.faults.proxy import storage_through_proxy
from tests.telemetry import Telemetry, attributes_of, current, id_of


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


async def _counters(storage: StorageBackend) -> CallStats:
    calls = (await storage.stats()).calls
    assert calls is not None
    return calls


async def test_a_call_has_one_span_with_an_event_for_each_further_attempt(
    url: str, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "axon_storage")
    async with storage_through_proxy(url, **telemetry.options) as (proxy, storage):
        await storage.load_daemons()
        proxy.once("before")
        await storage.save_session(sample(SessionRow))
        [span] = telemetry.named("save_session")
        assert span.status.status_code is StatusCode.UNSET
        assert "error.type" not in attributes_of(span)
        [event] = span.events
        assert event.name == "axon_storage.retry"
        assert event.attributes is not None
        assert event.attributes["axon_storage.retry.attempt"] == 2
        pause, kind = event.attributes["axon_storage.retry.pause"], event.attributes["error.type"]
        assert telemetry.total("axon_storage.retries", error__type=kind, db__operation__name="save_session") == 1
        [record] = [each for each in caplog.records if getattr(each, "storage_event", None) == "retry"]
        known = record.__dict__
        assert (known["operation"], known["attempt"], known["attempts"]) == ("save_session", 1, 8)
        assert (known["pause_seconds"], known["error_class"]) == (pause, "StorageConnectionError")
        assert known["code"] == event.attributes.get("db.response.status_code")
        counted = await _counters(storage)
        assert (counted.retries, counted.errors) == (1, 0)


async def test_the_attempts_of_a_group_commit_are_events_of_its_span(url: str, telemetry: Telemetry) -> None:
    other = SqlRepository(create_engine(url))
    async with other, storage_through_proxy(url, **telemetry.options) as (proxy, storage):
        await storage.load_daemons()
        async with other.transaction() as transaction:
            await save(transaction, "first")
            alone = asyncio.ensure_future(save(storage, "first"))  # waits for the lock, and the others form a batch
            await asyncio.sleep(0.1)
            proxy.once("before")
            await asyncio.gather(*start(*(save(storage, f"{number}") for number in range(CALLS))))
        await alone
        with_events = [span for span in telemetry.spans.ended if span.events]
        assert len(with_events) == proxy.injected.total() == 1
        assert with_events[0] in telemetry.group_commits()
        assert (await _counters(storage)).retries == 1


async def test_a_commit_whose_connection_is_lost_is_an_error_of_the_commit_and_the_block(
    url: str, telemetry: Telemetry
) -> None:
    async with storage_through_proxy(url, **telemetry.options) as (proxy, storage):
        with pytest.raises(StorageConnectionError) as lost:
            async with storage.transaction() as transaction:
                await transaction.save_session(sample(SessionRow))
                proxy.once("before")
        failed = {
            attributes_of(span)["db.operation.name"]: span
            for span in telemetry.spans.ended
            if span.status.status_code is StatusCode.ERROR
        }
        assert {"COMMIT", "transaction"} <= failed.keys()
        assert failed["COMMIT"].status.description == str(lost.value)
        assert attributes_of(failed["COMMIT"]).get("db.response.status_code") == lost.value.code
        assert (await _counters(storage)).errors == 1


async def test_a_call_that_times_out_says_where_the_time_went(
    url: str, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"operation_timeout": 0.5, "slow_call_seconds": 0.3, **telemetry.options}
    async with storage_through_proxy(url, **options) as (proxy, storage):
        await storage.save_trace(sample(TraceRow))
        caplog.clear()
        telemetry.clear()
        proxy.flows.clear()
        with pytest.raises(StorageConnectionError):
            await storage.load_traces(1)
        proxy.cut()
        proxy.flows.set()
        [span] = telemetry.named("load_traces")
        assert attributes_of(span)["error.type"] == "TimedOutError"
        [record] = [each for each in caplog.records if getattr(each, "storage_event", None) == "slow_call"]
        known = record.__dict__
        assert (record.levelno, known["operation"], known["table"]) == (logging.WARNING, "load_traces", "traces")
        assert known["error_class"] == "TimedOutError"
        phases = [known[f"{phase}_seconds"] for phase in ("turn", "connection", "database", "pause")]
        assert known["database_seconds"] == max(phases)
        assert sum(phases) == pytest.approx(known["seconds"], abs=0.05)


async def test_no_span_is_lost_or_left_open_under_faults_and_cancellations(url: str, telemetry: Telemetry) -> None:
    dice = random.Random(11)  # noqa: S311  # repeatable
    options = {"operation_timeout": 3, "connect_timeout": 2, **telemetry.options}
    async with storage_through_proxy(url, **options) as (proxy, storage):
        for _ in range(3):
            tasks = [*appends(storage, range(16)), *start(*(save(storage, f"{number % 5}") for number in range(16)))]
            tasks += start(*(storage.load_traces(1) for _ in range(8)))
            for task in tasks:
                if dice.random() < 0.3:
                    asyncio.get_running_loop().call_later(dice.uniform(0, 0.05), task.cancel)
            asyncio.get_running_loop().call_later(dice.uniform(0, 0.02), proxy.cut)
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert not [end for end in ends if isinstance(end, Exception) and not isinstance(end, StorageError)]
        await storage.append_event(sample(EventRow))
    assert telemetry.spans.open == set()
    ids = [id_of(span) for span in telemetry.spans.ended]
    assert len(ids) == len(set(ids))
    assert len(telemetry.named("load_traces")) == 24
    assert current() == 0
