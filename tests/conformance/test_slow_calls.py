"""The log of slow calls: which calls are logged, and where the time went."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from axon_storage import EventRow, SessionRow, SqlRepository, create_engine
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import save, several_writers

PHASES = ("turn_seconds", "connection_seconds", "database_seconds", "pause_seconds")
SLOW = 0.3

Slow = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def slow(caplog: pytest.LogCaptureFixture) -> Slow:
    """A function that returns the attributes of the logged slow calls."""
    caplog.set_level(logging.DEBUG, "axon_storage")
    return lambda: [each.__dict__ for each in caplog.records if getattr(each, "storage_event", "") == "slow_call"]


def longest(record: dict[str, Any]) -> str:
    """Return the phase in which a call was longest."""
    assert sum(record[phase] for phase in PHASES) == pytest.approx(record["seconds"], abs=0.1)
    return max(PHASES, key=lambda phase: float(record[phase]))


async def test_by_default_and_below_the_limit_nothing_is_logged(url: str, slow: Slow) -> None:
    for options in ({}, {"slow_call_seconds": 60.0}):
        async with SqlRepository(create_engine(url), **options) as storage:  # type: ignore[arg-type]  # mypy: of another option
            await storage.save_session(sample(SessionRow))
            async with storage.transaction() as transaction:
                await transaction.load_sessions("name")
    assert slow() == []


async def test_a_call_that_waits_for_a_connection(url: str, slow: Slow) -> None:
    async with SqlRepository(create_engine(url, pool_size=1), slow_call_seconds=SLOW) as storage:
        async with storage.transaction():
            waiting = asyncio.create_task(storage.load_daemons())
            await asyncio.sleep(2 * SLOW)
        await waiting
    [record] = slow()
    assert (record["operation"], record["table"], record["levelno"]) == ("load_daemons", "daemons", logging.WARNING)
    assert longest(record) == "connection_seconds"
    assert record["error_class"] is None


async def test_a_write_that_waits_for_an_earlier_write_of_its_row(url: str, slow: Slow) -> None:
    async with SqlRepository(create_engine(url), slow_call_seconds=SLOW) as storage:
        async with storage.transaction() as transaction:
            await transaction.save_session(sample(SessionRow, scope="s", key="k"))
            first = asyncio.create_task(_save(storage))
            await asyncio.sleep(0.05)
            second = asyncio.create_task(_save(storage))
            await asyncio.sleep(2 * SLOW)
        await asyncio.gather(first, second)
    records = slow()
    assert [each["operation"] for each in records] == ["save_session"] * 2
    assert longest(records[-1]) == "turn_seconds"


async def _save(storage: SqlRepository) -> None:
    await save(storage, "k")


@several_writers
async def test_a_write_that_waits_for_a_lock(url: str, slow: Slow) -> None:
    other = SqlRepository(create_engine(url))
    async with other, SqlRepository(create_engine(url), slow_call_seconds=SLOW) as storage:
        async with other.transaction() as transaction:
            await transaction.save_session(sample(SessionRow))
            waiting = asyncio.create_task(storage.save_session(sample(SessionRow)))
            await asyncio.sleep(2 * SLOW)
        await waiting
    [record] = slow()
    assert longest(record) == "database_seconds"


async def test_a_call_that_waits_for_the_earlier_calls_of_its_transaction(url: str, slow: Slow) -> None:
    engine = create_engine(url)
    async with SqlRepository(engine, slow_call_seconds=SLOW) as storage, storage.transaction() as transaction:
        await transaction.append_event(sample(EventRow))
        await transaction.load_daemons()
    assert slow() == []
