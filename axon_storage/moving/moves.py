"""Move: the steps that move a tenant to another database, each of which can be repeated.

The placement of the tenant says which step comes next, so a run that was killed is continued by the next one:

====================================  =============================================================================
placement                             next step
====================================  =============================================================================
active in the source                  note the target as ``other``, and copy the rows while calls change them
active in the source, ``other``       copy what has changed; stop the writes
stopped                               wait until every process knows it; drain
drained                               copy what has changed; switch to the target, with the source as ``other``
active in the target, ``other``       wait until no call reads the source; delete its rows; forget ``other``
====================================  =============================================================================

A move to the database in which the tenant is goes back: the writes go on, and the rows in ``other`` are deleted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Unpack, cast
from uuid import uuid4

from axon_storage.backend import StorageBackend
from axon_storage.backend.prune_run import has_rows
from axon_storage.dispatcher import open_storage
from axon_storage.engine.timeouts import operation_timeout
from axon_storage.engine.url import hidden
from axon_storage.errors import InvalidArgumentError, QueryError, StorageError, TenantMismatchError
from axon_storage.model.seals import CountSeals
from axon_storage.moving.fence import Fence
from axon_storage.moving.rows import MOVE, delete_rows, make_equal
from axon_storage.opening import OpenOptions, check_option_names, hide_password
from axon_storage.repository import SqlRepository
from axon_storage.routing.catalogue import Placement, PlacementState, TenantCatalogue, check_placeable, clock
from axon_storage.routing.databases import Databases, hidden_urls, urls_of
from axon_storage.tenancy import check_tenant
from axon_storage.transfer.results import ProgressCallback, Tally
from axon_storage.transfer.storages import Side, opened, refuse_same_database

_ROUNDS = 10
"""How often changed rows are copied before the writes are stopped, and how often afterwards, at most."""

_FEW = 1_000
"""The writes are stopped when so few rows have changed during the last copy."""

_RESUME_SECONDS = 10.0
"""How long a run that fails tries to let the writes go on."""


class MoveStep(StrEnum):
    """What a move is doing."""

    COPYING = "copying"
    """Copies the rows. Calls use the source."""
    WAITING = "waiting"
    """The writes are stopped. Waits until every process knows it."""
    COMPARING = "comparing"
    """No row changes any more. Copies the last changes, until both databases are equal."""
    DELETING = "deleting"
    """Calls use the target. Deletes the rows in the other database."""


StepCallback = Callable[[MoveStep], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveResult:
    """What a run of :func:`move` has done.

    ``database``: the name of the database in which the tenant is now. ``copied``, ``deleted``: the number of rows that
    were written to the target, also repeatedly, and deleted in the other database. ``stopped_seconds``: how long writes
    were stopped.
    """

    tenant: str
    database: str
    copied: int
    deleted: int
    stopped_seconds: float


async def move(
    home: StorageBackend | str,
    databases: Databases,
    tenant: str,
    to: str,
    *,
    progress: ProgressCallback | None = None,
    step: StepCallback | None = None,
    **options: Unpack[OpenOptions],
) -> MoveResult:
    """Move a tenant to the database ``to``, with all its rows, while its calls go on.

    ``home``, ``databases``, ``options``: as of the :class:`axon_storage.TenantRouter`. ``to``: a name of ``databases``.
    Its reads go on all the time. Its writes wait for a short time, and go on in the new database. If the run is
    interrupted or killed, repeat it, or go back by a move to the database in which the tenant is. ``progress``: called
    after each page of rows that was copied. ``step``: called when a step begins. A tenant that is not in the catalogue
    raises a :class:`axon_storage.TenantMismatchError`::

        await move("postgresql://ada@home.example/agents", databases, "acme", "eu-2")
    """
    home, databases = hidden(home), hidden_urls(databases)
    hide_password(options)
    check_option_names("move", options)
    check_placeable(check_tenant(tenant))
    url_of = urls_of(databases)
    hidden(url_of(to))
    async with AsyncExitStack() as stack:
        if isinstance(home, str):
            home = cast("StorageBackend", await stack.enter_async_context(open_storage(home, **options)))
        raw = options.copy()
        raw.pop("encryption", None)  # documents are moved as they are stored

        async def open_database(name: str) -> SqlRepository:
            storage = await stack.enter_async_context(open_storage(url_of(name), **raw))
            return (await stack.enter_async_context(opened(name, storage))).repository

        catalogue = TenantCatalogue(home)
        placement = await catalogue.get(tenant)
        if placement is None:
            raise TenantMismatchError(f"{tenant!r} is not in the catalogue: correct the name")
        return await _Move(catalogue, placement, to, open_database, Tally(progress), step).run()


@dataclass
class _Move:
    """One run. ``placement``: as it is now; each change is stored by this run, or the run ends."""

    catalogue: TenantCatalogue
    placement: Placement
    to: str
    open_database: Callable[[str], Awaitable[SqlRepository]]
    tally: Tally
    step: StepCallback | None
    _opened: dict[str, SqlRepository] = field(default_factory=dict, init=False)
    _sent: Placement | None = field(default=None, init=False)
    _deleted: int = field(default=0, init=False)
    _stopped_at: float | None = field(default=None, init=False)
    _stopped_seconds: float = field(default=0.0, init=False)

    async def run(self) -> MoveResult:
        """Take the steps that are left."""
        if not self._is_done:
            await self._put()  # a new version with the same content, so that an earlier run cannot go on
        try:
            while not self._is_done:
                await self._next_step()
        except BaseException:
            await self._resume_writes()
            raise
        return MoveResult(
            tenant=self.placement.tenant,
            database=self.placement.database,
            copied=sum(self.tally.rows.values()),
            deleted=self._deleted,
            stopped_seconds=self._stopped_seconds,
        )

    @property
    def _is_done(self) -> bool:
        now = self.placement
        return now.database == self.to and now.state is PlacementState.ACTIVE and not now.other

    async def _next_step(self) -> None:
        now = self.placement
        if now.database == self.to and now.state is not PlacementState.ACTIVE:
            await self._put(state=PlacementState.ACTIVE)
        elif now.database == self.to or now.other not in {"", self.to}:
            await self._delete_other()
        elif not now.other:
            await self._note_target()
        elif now.state is PlacementState.ACTIVE:
            await self._copy()
        elif now.state is PlacementState.STOPPED:
            await self._drain()
        else:
            await self._switch()

    async def _note_target(self) -> None:
        await self._storage(self.placement.database)  # a database that cannot be opened is refused before any change
        target, earlier = await self._storage(self.to), await self.catalogue.changes(replace(self.placement, version=0))
        was_there = any(self.to in {each.database, each.other} for each in earlier)
        # After it was there, a call that failed may have left a row. Other rows are not deleted without being asked.
        if not was_there and await _has_rows_or_seals(target, self.placement.tenant):
            message = f"{self.to!r} has rows of {self.placement.tenant!r} already"
            raise InvalidArgumentError(f"{message}: erase them there, or correct the name")
        await self._fence(self.to, beside=self.placement.database)
        await self._put(other=self.to)

    async def _copy(self) -> None:
        self._report(MoveStep.COPYING)
        source, fence = await self._source_and_fence()
        for _ in range(_ROUNDS):
            if await make_equal(source, fence, self.tally) < _FEW:
                break
        await self._put(state=PlacementState.STOPPED)

    async def _drain(self) -> None:
        self._report(MoveStep.WAITING)
        end = clock() + await self.catalogue.known_after()
        source, fence = await self._source_and_fence()
        await make_equal(source, fence, self.tally)
        await _wait_until(end)
        await self._put(state=PlacementState.DRAINED)

    async def _switch(self) -> None:
        self._report(MoveStep.COMPARING)
        source, fence = await self._source_and_fence()
        for _ in range(_ROUNDS):
            if not await make_equal(source, fence, self.tally):
                break
        else:
            raise QueryError(f"the rows in {self.placement.database!r} still change: stop what writes there directly")
        await self._put(database=self.to, state=PlacementState.ACTIVE, other=self.placement.database)

    async def _delete_other(self) -> None:
        self._report(MoveStep.DELETING)
        end = clock() + await self.catalogue.known_after()
        if self.placement.state is not PlacementState.ACTIVE:
            await self._put(state=PlacementState.ACTIVE)
        fence = await self._fence(self.placement.other, beside=self.placement.database)
        await _wait_until(end)
        self._deleted += await delete_rows(fence)
        await fence.clear()
        await self._new_fence(await self._storage(self.placement.database)).clear()
        await self._put(other="")

    async def _source_and_fence(self) -> tuple[SqlRepository, Fence]:
        now = self.placement
        return await self._storage(now.database), await self._fence(now.other, beside=now.database)

    async def _fence(self, name: str, *, beside: str) -> Fence:
        """Take the fence in a database. Refuse it if it is the database in which the tenant is, by whatever URL."""
        storage, other = await self._storage(name), await self._storage(beside)
        await refuse_same_database(Side(other, None), Side(storage, None))
        fence = self._new_fence(storage)
        await fence.take()
        if await fence.is_held_in(other):
            await fence.clear()
            raise InvalidArgumentError(f"{beside!r} and {name!r} are the same database; name two databases")
        newest = await self.catalogue.get(self.placement.tenant)
        if newest != self.placement:  # the newer run may have taken the fence before
            raise _other_run()
        return fence

    def _new_fence(self, storage: SqlRepository) -> Fence:
        return Fence(storage, self.placement.tenant, uuid4().hex)

    async def _storage(self, name: str) -> SqlRepository:
        if name not in self._opened:
            self._opened[name] = await self.open_database(name)
        return self._opened[name]

    async def _put(self, **changes: object) -> None:
        """Store the next version of the placement."""
        new = replace(self.placement, version=self.placement.version + 1, **changes)  # type: ignore[arg-type]
        self._sent = new
        if not await self.catalogue.put(new):
            raise _other_run()
        self.placement = new
        self._measure()

    def _measure(self) -> None:
        is_active, now = self.placement.state is PlacementState.ACTIVE, time.monotonic()
        if not is_active and self._stopped_at is None:
            self._stopped_at = now
        elif is_active and self._stopped_at is not None:
            self._stopped_seconds, self._stopped_at = self._stopped_seconds + now - self._stopped_at, None

    async def _resume_writes(self) -> None:
        """Let the writes go on where they were, if the run has failed; the next run copies again."""
        with suppress(StorageError), operation_timeout(_RESUME_SECONDS):
            newest = await self.catalogue.get(self.placement.tenant)
            # The last change may have been stored although its call has failed.
            if newest is not None and newest in {self.placement, self._sent} and newest.state != PlacementState.ACTIVE:
                self.placement = newest
                await self._put(state=PlacementState.ACTIVE)

    def _report(self, step: MoveStep) -> None:
        if self.step is not None:
            self.step(step)


async def _has_rows_or_seals(storage: SqlRepository, tenant: str) -> bool:
    seals = CountSeals(operation=MOVE, tenant=tenant)
    return await has_rows(storage, MOVE, tenant) or await storage.execute(seals) > 0


async def _wait_until(end: float) -> None:
    while (left := end - clock()) > 0:  # noqa: ASYNC110  # a timer of asyncio may be early by this clock
        await asyncio.sleep(left)


def _other_run() -> QueryError:
    return QueryError("another run has changed the placement of this tenant: let it end, and repeat the move")
