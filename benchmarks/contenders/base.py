"""What a contender is: a way to do some of the works on one database."""

from collections.abc import Iterable, Sequence
from typing import Any

from axon_storage import EventRow, Row, SessionRow, TraceRow
from axon_storage.model.rows import fields_of

CONNECTIONS = 10
"""As many as asyncpg's pool has by itself; each contender may open so many."""


class Contender:
    """One method a call; a contender offers those that it overrides."""

    async def save_trace(self, row: TraceRow) -> None:
        """Store a trace, or replace the one of its id."""
        raise NotImplementedError

    async def append_event(self, row: EventRow) -> None:
        """Store an event."""
        raise NotImplementedError

    async def save_session(self, row: SessionRow) -> None:
        """Store a session's value, or replace the one of its key."""
        raise NotImplementedError

    async def save_many(self, rows: Sequence[TraceRow]) -> None:
        """Store traces, all or none."""
        raise NotImplementedError

    async def get_trace(self, tenant: str, trace_id: int) -> Any:
        """Give one trace."""
        raise NotImplementedError

    async def load_traces(self, tenant: str, limit: int) -> Iterable[Any]:
        """Give a tenant's newest traces."""
        raise NotImplementedError

    async def restore(self, tenant: str) -> int:
        """Read a tenant's traces one after another, never all at once; give how many there were."""
        raise NotImplementedError

    async def delete_traces(self, tenant: str, ids: list[int]) -> None:
        """Delete traces by their ids, all or none."""
        raise NotImplementedError

    def offers(self, call: str) -> bool:
        """Whether this contender can do a call."""
        return getattr(type(self), call) is not getattr(Contender, call, None)


def plain(row: Any) -> dict[str, Any]:
    """A trace that some contender read, as a dict."""
    return {name: getattr(row, name) for name, _ in fields_of(type(row))} if isinstance(row, Row) else dict(row)
