"""The base class of contenders, which run some of the workloads on one database."""

from collections.abc import Iterable, Sequence
from typing import Any

from axon_storage import EventRow, Row, SessionRow, TraceRow
from axon_storage.model.rows import fields_of

CONNECTIONS = 10
"""The number of connections that each contender may open: the default of asyncpg's pool."""


class Contender:
    """One method for each call; a contender offers the methods that it overrides."""

    async def save_trace(self, row: TraceRow) -> None:
        """Store a trace, or replace the one with its id."""
        raise NotImplementedError

    async def append_event(self, row: EventRow) -> None:
        """Store an event."""
        raise NotImplementedError

    async def save_session(self, row: SessionRow) -> None:
        """Store a session entry, or replace the one with its key."""
        raise NotImplementedError

    async def save_many(self, rows: Sequence[TraceRow]) -> None:
        """Store all of the traces, or none."""
        raise NotImplementedError

    async def get_trace(self, tenant: str, trace_id: int) -> Any:
        """Return one trace."""
        raise NotImplementedError

    async def load_traces(self, tenant: str, limit: int) -> Iterable[Any]:
        """Return the newest traces of a tenant."""
        raise NotImplementedError

    async def restore(self, tenant: str) -> int:
        """Read the traces of a tenant one after another, never all at once; return their number."""
        raise NotImplementedError

    async def delete_traces(self, tenant: str, ids: list[int]) -> None:
        """Delete all of the traces with these ids, or none."""
        raise NotImplementedError

    def offers(self, call: str) -> bool:
        """Return whether this contender has a call."""
        return getattr(type(self), call) is not getattr(Contender, call, None)


def plain(row: Any) -> dict[str, Any]:
    """Convert a trace that a contender has read to a dict."""
    return {name: getattr(row, name) for name, _ in fields_of(type(row))} if isinstance(row, Row) else dict(row)
