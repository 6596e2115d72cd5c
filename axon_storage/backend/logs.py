"""The methods of a storage for append-only rows: the audit log, events, costs."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from uuid import UUID

from axon_storage.backend.base import PAGE_SIZE, BackendBase
from axon_storage.model.rows import AuditRow, CostRow, EventRow, Recorded
from axon_storage.model.summaries import CostSummary, EventSummary


class LogMethods(BackendBase):
    """Methods that append and read audit entries, events and costs."""

    # The audit log.

    async def append_audit(self, entry: AuditRow, id: UUID | None = None) -> UUID:  # noqa: A002  # the contract's name
        """Append an entry, and return its id. If an entry with this ``id`` exists, store nothing."""
        return await self._append("append_audit", entry, AuditRow, id)

    async def query_audit(self, limit: int) -> list[AuditRow]:
        """Return up to ``limit`` entries, newest first."""
        return await self._list_newest("query_audit", AuditRow, limit)

    def iter_audit(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        after: UUID | None = None,
        reverse: bool = False,
        page_size: int = PAGE_SIZE,
    ) -> AsyncGenerator[Recorded[AuditRow]]:
        """Yield the entries, oldest first. The options, and what they may miss, are those of :meth:`iter_traces`."""
        return self._iterate("iter_audit", AuditRow, since, until, after=after, reverse=reverse, page_size=page_size)

    # Events.

    async def append_event(self, event: EventRow, id: UUID | None = None) -> UUID:  # noqa: A002  # the contract's name
        """Append an event, and return its id. If an event with this ``id`` exists, store nothing."""
        return await self._append("append_event", event, EventRow, id)

    async def query_events(self, topic: str | None, limit: int) -> list[EventRow]:
        """Return up to ``limit`` events of a topic (None: of all topics), newest first."""
        return await self._list_newest("query_events", EventRow, limit, topic=topic)

    def iter_events(
        self,
        *,
        topic: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: UUID | None = None,
        reverse: bool = False,
        page_size: int = PAGE_SIZE,
    ) -> AsyncGenerator[Recorded[EventRow]]:
        """Yield the events of a topic (None: of all topics), oldest first, as :meth:`iter_traces` does.

        To process each new event, use :meth:`follow_events`: a reader that polls with ``since`` or ``after`` misses
        events that are committed late.
        """
        return self._iterate(
            "iter_events", EventRow, since, until, after=after, reverse=reverse, page_size=page_size, topic=topic
        )

    async def summarize_events(
        self,
        *,
        by: str | Sequence[str],
        topic: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[EventSummary]:
        """Return the number of events, by ``"topic"``, ``"day"`` or ``"hour"`` (UTC).

        The arguments and the order of the result are those of :meth:`summarize_traces`.
        """
        return await self._summarize("summarize_events", EventSummary, by, since, until, topic=topic)

    # Costs.

    async def record_cost(self, cost: CostRow, id: UUID | None = None) -> UUID:  # noqa: A002  # the contract's name
        """Append a cost, and return its id. If a cost with this ``id`` exists, store nothing."""
        return await self._append("record_cost", cost, CostRow, id)

    async def query_costs(self, flow: str | None, limit: int) -> list[CostRow]:
        """Return up to ``limit`` costs of a flow (None: of all flows), newest first."""
        return await self._list_newest("query_costs", CostRow, limit, flow_name=flow)

    def iter_costs(
        self,
        *,
        flow: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: UUID | None = None,
        reverse: bool = False,
        page_size: int = PAGE_SIZE,
    ) -> AsyncGenerator[Recorded[CostRow]]:
        """Yield the costs of a flow (None: of all flows), oldest first, as :meth:`iter_traces` does."""
        return self._iterate(
            "iter_costs", CostRow, since, until, after=after, reverse=reverse, page_size=page_size, flow_name=flow
        )

    async def summarize_costs(
        self,
        *,
        by: str | Sequence[str],
        flow: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[CostSummary]:
        """Return the number of costs and their sums, by ``"flow"``, ``"backend"``, ``"day"`` or ``"hour"`` (UTC).

        The arguments and the order of the result are those of :meth:`summarize_traces`::

            for summary in await storage.summarize_costs(by=("flow", "day")):
                print(summary.flow, summary.period, summary.calls, summary.cost_usd)
        """
        return await self._summarize("summarize_costs", CostSummary, by, since, until, flow_name=flow)
