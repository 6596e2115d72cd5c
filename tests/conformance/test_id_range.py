"""``id_range``, the public helper that selects rows by time in hand-written SQL, with the example of its docstring."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import EventRow, InvalidArgumentError, SqlRepository, id_range
from axon_storage.dialects import dialect_of
from axon_storage.testing.samples import sample
from tests.plans import cost

DAY = datetime(2026, 11, 26, tzinfo=UTC)
HOURS = 72


@pytest.fixture
async def hourly(engine: AsyncEngine) -> SqlRepository:
    """A storage with one event for each hour of three days; DAY is the second of them."""
    moments = iter(DAY + timedelta(hours=hour) for hour in range(-24, HOURS - 24))
    repository = SqlRepository(engine, clock=lambda: int(next(moments).timestamp()) * 10**9)
    for hour in range(-24, HOURS - 24):
        await repository.append_event(sample(EventRow, topic=f"{hour:03}"))
    return repository


def example() -> str:
    """Return the statement in the docstring."""
    [statement] = re.findall(r'text\("(SELECT .*)"\)', id_range.__doc__ or "")
    return str(statement)


def bound(engine: AsyncEngine, since: datetime | None, until: datetime | None) -> dict[str, str | UUID]:
    """Return the parameters of the example, bound as its docstring says for this database."""
    after, before = id_range(since, until)
    if dialect_of(engine.dialect).native_uuid:
        return {"tenant": "default", "after": after, "before": before}
    return {"tenant": "default", "after": after.hex, "before": before.hex}


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        (DAY, DAY + timedelta(days=1), range(24)),
        (DAY + timedelta(microseconds=1), DAY + timedelta(days=1, microseconds=1), range(1, 25)),
        (None, DAY, range(-24, 0)),
        (DAY + timedelta(days=1), None, range(24, 48)),
        (None, None, range(-24, 48)),
        (DAY + timedelta(days=1), DAY, range(0)),
    ],
)
async def test_the_docstrings_query_gives_the_rows_of_a_period(
    hourly: SqlRepository, engine: AsyncEngine, since: datetime | None, until: datetime | None, hours: range
) -> None:
    async with engine.connect() as connection:
        found = await connection.execute(text(example()), bound(engine, since, until))
        assert sorted(found.scalars()) == sorted(f"{hour:03}" for hour in hours)
    iterated = [event.row.topic async for event in hourly.iter_events(since=since, until=until)]
    assert iterated == [f"{hour:03}" for hour in hours]


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
async def test_the_docstrings_query_reads_the_period_through_an_index(
    hourly: SqlRepository, engine: AsyncEngine
) -> None:
    del hourly
    async with engine.connect() as connection:
        if engine.dialect.name == "postgresql":  # PostgreSQL would read such a small table without an index
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
        spent = await cost(connection, text(example()), bound(engine, DAY, DAY + timedelta(hours=2)))
    assert spent.touched <= 3, spent.plan


@pytest.mark.parametrize("moment", [DAY.replace(tzinfo=None), "2026-11-26"])
def test_a_datetime_without_a_time_zone_is_refused(moment: datetime) -> None:
    with pytest.raises(InvalidArgumentError, match="since must be a datetime with a time zone"):
        id_range(moment, None)
    with pytest.raises(InvalidArgumentError, match="until must be a datetime with a time zone"):
        id_range(None, moment)


def test_another_time_zone_gives_the_same_ids() -> None:
    assert id_range(DAY, DAY) == id_range(DAY.astimezone(ZoneInfo("Asia/Tokyo")), DAY)
