"""The iterators by row type, and rows with ids of a given time, for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from axon_storage import AuditRow, CostRow, EventRow, Recorded, Row, StorageBackend, TraceRow, new_id
from axon_storage.model.ids import first_id
from axon_storage.testing.samples import sample

START = datetime(2001, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC)

ITERATE: dict[type[Row], str] = {
    TraceRow: "iter_traces",
    AuditRow: "iter_audit",
    EventRow: "iter_events",
    CostRow: "iter_costs",
}
FILTERED: list[tuple[type[Row], str, str]] = [
    (TraceRow, "flow", "flow_name"),
    (EventRow, "topic", "topic"),
    (CostRow, "flow", "flow_name"),
]
"""The row types whose iterators have a filter, with its option and its field."""

each_kind = pytest.mark.parametrize("row_type", ITERATE)


async def collect(storage: StorageBackend, row_type: type[Row], **options: Any) -> list[Recorded[Any]]:
    """Return what an iterator yields."""
    return [recorded async for recorded in getattr(storage, ITERATE[row_type])(**options)]


def numbered(row_type: type[Row], tenant: str, number: int, **fields: Any) -> Row:
    """Make a row that differs from those with other numbers."""
    own = {"trace_id": 2**64 - 1 - number} if row_type is TraceRow else {}
    name = {AuditRow: "actor", EventRow: "source"}.get(row_type, "backend")
    return sample(row_type, tenant, **own, **{name: str(number)}, **fields)


def recorded_at(moment: datetime, row: Row) -> Recorded[Any]:
    """Return a row with a new id of a moment."""
    return Recorded(UUID(int=first_id(moment).int | new_id().int & (2**66 - 1)), moment, row)


def recorded_rows(row_type: type[Row], tenant: str, count: int = 5) -> list[Recorded[Any]]:
    """Make rows that were recorded at START and later, a second apart."""
    return [
        recorded_at(START + timedelta(seconds=number), numbered(row_type, tenant, number)) for number in range(count)
    ]
