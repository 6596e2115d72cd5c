"""The methods of a storage for append-only rows: the audit log, events, costs."""

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from uuid import UUID

from axon_storage.backend.calls import PAGE_SIZE, RequestMethods
from axon_storage.model.rows import AuditRow, CostRow, EventRow, Recorded
from axon_storage.model.summaries import CostSummary, EventSummary


class LogMethods(RequestMethods):
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

    follow_horizon: float = 90.0
    """Seconds in which :meth:`follow_events` looks for events that were committed late. At least 60 s for the time
    from an event's id to its COMMIT, and the rest for the answer to COMMIT and for the differences between clocks."""

    def follow_events(
        self, topic: str | None = None, *, after: UUID | None = None, poll: float = 1.0
    ) -> AsyncGenerator[Recorded[EventRow]]:
        """Yield the events of a topic (None: of all topics) as they are committed, from all processes, without end.

        Without ``after``, yield each event that is committed after the first step of the iteration, once. With
        ``after``, the ``id`` of an event, also yield all newer events, and those that are up to 90 s older than it, but
        not the event itself: some of them may have been committed after the caller saw it. So a reader that stores the
        largest ``id`` it has processed, and later continues after it, gets each event at least once, and must ignore
        the events that it has processed already::

            async with aclosing(storage.follow_events("jobs", after=last_id)) as events:
                async for recorded in events:
                    await process(recorded)  # does nothing for an event that it knows
                    last_id = max(last_id, recorded.id)

        Every ``poll`` seconds, the database is asked for newer events, and for the ids of the last 90 s, to find events
        that were committed late. An event gets its id before it is committed, so it may follow events with newer ids.
        Memory holds these ids and one page of events.

        No event is missed if the difference between the clocks of the hosts plus the time that a COMMIT takes stays
        below 30 s, because no COMMIT is sent more than 60 s after the event was appended. On a cluster, the delay of
        the node that the reader uses counts too. A
        ``transaction()`` that appended an event earlier fails at its end with a transient :class:`QueryError`, and is
        rolled back: append at the end of a long block. Events whose ``id`` the caller made more than a few seconds
        before the call, and :class:`Recorded` rows of ``save_many``, may be missed.

        The iteration ends when the storage is closed. If the database cannot be reached, the call is retried as any
        other, and then its error ends the iteration: continue with ``after``.
        """
        return self._follow("follow_events", EventRow, after, poll, self.follow_horizon, topic=topic)

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
