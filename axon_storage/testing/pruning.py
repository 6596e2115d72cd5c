"""The prune methods by row type, and rows of a given age, for tests."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from axon_storage import (
    AuditRow,
    AxonStoreRow,
    CacheRow,
    CostRow,
    DaemonRow,
    DataspaceRow,
    EventRow,
    HibernationRow,
    Row,
    ScheduleRow,
    SessionRow,
    StorageBackend,
    TraceRow,
)
from axon_storage.model.ids import first_id
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import KEYED

PRUNE = {
    TraceRow: "prune_traces",
    SessionRow: "prune_sessions",
    DaemonRow: "prune_daemons",
    AuditRow: "prune_audit",
    AxonStoreRow: "prune_axon_stores",
    DataspaceRow: "prune_dataspaces",
    HibernationRow: "prune_hibernations",
    EventRow: "prune_events",
    CacheRow: "prune_cache",
    CostRow: "prune_costs",
    ScheduleRow: "prune_schedules",
}

DAY = timedelta(days=1)
NOW = datetime.now(UTC)

OUTSIDE_UTC = (
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
)
"""Times that UTC datetimes cannot represent."""

LAST_SAVED = tuple(row_type for row_type in KEYED if row_type is not TraceRow)
"""The row types whose age is the time of their last save."""

OLD, BEFORE = NOW - 3 * DAY, NOW - 2 * DAY


async def prune(storage: StorageBackend, row_type: type[Row], before: datetime, **options: Any) -> int:
    """Prune a table by the method of its row type."""
    deleted: int = await getattr(storage, PRUNE[row_type])(before, **options)
    return deleted


def id_at(moment: datetime, number: int = 0) -> UUID:
    """Return an id of a moment; ids of the same moment differ by their numbers."""
    return UUID(int=first_id(moment).int | 0b10 << 62 | number)


def key_fields(row_type: type[Row], number: int) -> dict[str, Any]:
    """Return fields that give each number a key of its own: composite keys have few rows for each prefix."""
    match row_type.KEY:
        case ():
            return {}
        case (name,):
            return {name: number if name == "trace_id" else f"{number:06}"}
        case (first, last):
            return {first: f"{number // 3:06}", last: f"{number:06}"}
    raise AssertionError(row_type)


async def fill(storage: StorageBackend, row_type: type[Row], numbers: range, **fields: Any) -> None:
    """Save rows with the keys of some numbers."""
    tenant = storage.current_tenant()
    rows = [sample(row_type, tenant, **key_fields(row_type, number), **fields) for number in numbers]
    await storage.save_many(rows)
