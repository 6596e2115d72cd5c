"""The methods of a storage for traces."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from axon_storage.backend.calls import PAGE_SIZE, RequestMethods
from axon_storage.model.rows import Recorded, TraceRow
from axon_storage.model.summaries import TraceSummary


class TraceMethods(RequestMethods):
    """Methods that save, read and delete traces."""

    async def save_trace(self, trace: TraceRow) -> None:
        """Store a trace, or replace the one with the same ``trace_id``; its position in the order does not change."""
        await self._save("save_trace", TraceRow, [trace])

    async def load_traces(self, limit: int, offset: int = 0, *, flow: str | None = None) -> list[TraceRow]:
        """Return up to ``limit`` traces of a flow (None: of all flows), newest first; skip the first ``offset``.

        They are ordered by their first save. Skipped rows are read too: for later pages, :meth:`iter_traces` with
        ``after`` and ``reverse`` is faster.
        """
        return await self._list_newest("load_traces", TraceRow, limit, offset, flow_name=flow)

    def iter_traces(
        self,
        *,
        flow: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: UUID | None = None,
        reverse: bool = False,
        page_size: int = PAGE_SIZE,
    ) -> AsyncGenerator[Recorded[TraceRow]]:
        """Yield the traces of a flow (None: of all flows), ordered by their first save, oldest first.

        ``since`` (inclusive) and ``until`` (exclusive) are datetimes with a time zone. ``reverse``: yield the newest
        first. ``after``: the ``id`` of the last row that the caller has; yield only the rows that follow it, which are
        newer, or older with ``reverse``. So each page of a list takes the same time, also at its end::

            page = []
            async with aclosing(storage.iter_traces(after=last_id, reverse=True, page_size=50)) as traces:
                async for recorded in traces:
                    page.append(recorded)
                    if len(page) == 50:
                        break

        Only one page of ``page_size`` rows is in memory at a time. Each page is a separate query, and nothing is locked
        between pages: rows stored or deleted during the iteration may or may not appear.

        Do not poll for new rows with ``since`` or ``after``: a row gets its id before it is committed, so a row that
        is committed late may be older than one that was already seen. For events, :meth:`follow_events` yields both.
        """
        return self._iterate(
            "iter_traces", TraceRow, since, until, after=after, reverse=reverse, page_size=page_size, flow_name=flow
        )

    async def summarize_traces(
        self,
        *,
        by: str | Sequence[str],
        flow: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[TraceSummary]:
        """Return counts and sums of traces, by ``"flow"``, ``"backend"``, ``"status"``, ``"day"`` or ``"hour"`` (UTC).

        ``by`` is one of these names, or a tuple or list of several; an empty one gives one summary of all traces.
        ``flow``, ``since`` and ``until`` limit the traces, as in :meth:`iter_traces`. The result is sorted by group, in
        the order of ``by``; groups without a trace do not appear. The database reads every trace of the period::

            await storage.summarize_traces(by=("day", "status"), since=datetime(2026, 11, 1, tzinfo=UTC))
        """
        return await self._summarize("summarize_traces", TraceSummary, by, since, until, flow_name=flow)

    async def get_trace(self, trace_id: int) -> TraceRow | None:
        """Return one trace, or None."""
        return await self._get("get_trace", TraceRow, trace_id)

    async def delete_traces(self, ids: Iterable[int]) -> int:
        """Delete traces by id in one transaction, and return the number of deleted traces."""
        return await self._delete("delete_traces", TraceRow, last=ids)
