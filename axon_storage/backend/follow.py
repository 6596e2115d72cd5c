"""Follower: reads events as they are committed, including those that are committed later than newer ones.

Rules:

1. An event gets its id before it is committed. So each step reads the events after the newest one that was read
   (*newer*), and then all ids since the horizon, to find events with older ids that were committed since the last step
   (*late*).
2. The horizon is computed before the ids are read, and is used by the next step: an event that this step did not find
   is committed after that moment, and events are committed within ``append_horizon`` of their ids.
3. The events of a step are given in the order of their ids. So an event that was not given yet is newer than the last
   given one, or older by less than ``seconds``.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from axon_storage.errors import ClosedError
from axon_storage.model.ids import first_id, timestamp_of
from axon_storage.model.requests import ListByIds, ListPage, ListRecentIds, Request
from axon_storage.model.rows import Recorded, Row

T = TypeVar("T")
R = TypeVar("R", bound=Row)

_IDS = 1_000  # the maximum of ListByIds


class Backend(Protocol):
    """Executes requests."""

    async def execute(self, request: Request[T]) -> T:
        """Execute a request."""


async def follow(follower: "Follower[R]", after: UUID | None, poll: float) -> AsyncGenerator[Recorded[R], None]:
    """Yield the events of a follower until the storage is closed; pause for ``poll`` seconds if there are no more."""
    try:
        await follower.start(after)
        while True:
            found, has_more = await follower.step()
            for recorded in found:
                yield recorded
            if not has_more:
                await asyncio.sleep(poll)
    except ClosedError:
        return


class Follower(Generic[R]):
    """Reads the events of one iteration. ``page``: a request for newer events. ``recent``: a request for recent ids."""

    def __init__(self, backend: Backend, page: ListPage[R], recent: ListRecentIds) -> None:
        self._backend, self._page, self._recent = backend, page, recent
        self._given: set[UUID] = set()
        self._horizon = self._newest = UUID(int=0)

    async def start(self, after: UUID | None) -> None:
        """Begin with the events that are committed from now on, or with those after an event."""
        recent = await self._backend.execute(self._recent)
        self._horizon = recent.horizon
        if after is None:
            self._given, self._newest = set(recent.ids), max(recent.ids, default=recent.horizon)
        else:
            self._given = {after}
            self._newest = first_id(timestamp_of(after) - timedelta(seconds=self._recent.seconds))

    async def step(self) -> tuple[list[Recorded[R]], bool]:
        """Return the events to give next, and whether there may be more."""
        page = await self._backend.execute(replace(self._page, after=self._newest))
        found = [recorded for recorded in page if recorded.id not in self._given]
        has_more = len(page) == self._page.limit
        self._newest = page[-1].id if page else self._newest
        if not has_more or self._newest > self._horizon:  # late events of an older page are newer than the page
            found += await self._late([recorded.id for recorded in page])
        return sorted(found, key=_id), has_more

    async def _late(self, newer: Sequence[UUID]) -> list[Recorded[R]]:
        """Return the late events, and forget the ids that are older than the horizon."""
        request = replace(self._recent, after=self._horizon, before=UUID(int=self._newest.int + 1))
        recent = await self._backend.execute(request)
        self._given.update(newer)
        late = [row_id for row_id in recent.ids if row_id not in self._given]
        self._horizon = max(self._horizon, recent.horizon)
        self._given = {row_id for row_id in self._given.union(late) if row_id > min(self._horizon, self._newest)}
        found: list[Recorded[R]] = []
        for start in range(0, len(late), _IDS):
            rows = await self._backend.execute(self._by_ids(late[start : start + _IDS]))
            found += rows
        return found

    def _by_ids(self, ids: Sequence[UUID]) -> ListByIds[R]:
        page = self._page
        return ListByIds(operation=page.operation, tenant=page.tenant, row_type=page.row_type, ids=ids)


def _id(recorded: Recorded[R]) -> UUID:
    return recorded.id
