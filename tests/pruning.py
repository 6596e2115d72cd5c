"""Clocks, and the age of stored rows, for tests of the prune methods."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import Row
from axon_storage.model.ids import Clock
from axon_storage.sql.tables import TABLES, UPDATED_AT


def clock_at(moment: datetime) -> Clock:
    """Return a clock that begins at a moment, and goes on."""
    ahead = int(moment.timestamp() * 10**9) - time.time_ns()
    return lambda: time.time_ns() + ahead


async def set_age(engine: AsyncEngine, row_type: type[Row], values: Callable[[Any], Any] | Any) -> None:
    """Set when all rows of a keyed table were last saved."""
    table = TABLES[row_type]
    async with engine.begin() as connection:
        await connection.execute(update(table).values({UPDATED_AT: values}))
