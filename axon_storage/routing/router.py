"""TenantRouter: a storage whose tenants are in several databases."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar, Unpack, cast

from axon_storage.backend import StorageBackend
from axon_storage.backend.health import health_from
from axon_storage.backend.prune_run import has_rows
from axon_storage.engine.deadline import Deadline
from axon_storage.engine.lifecycle import CLOSED, Lifecycle
from axon_storage.engine.timeouts import DEFAULT_TIMEOUT, check_timeout, current_timeout, rest_of_timeout
from axon_storage.engine.url import hidden
from axon_storage.errors import QueryError, StorageConnectionError, TenantMismatchError
from axon_storage.loop_local import LoopLocal
from axon_storage.model.health import Health, HealthReason, HealthReasonName
from axon_storage.model.maintenance import CountPruned, ListOld
from axon_storage.model.requests import (
    Get,
    ListByIds,
    ListByKey,
    ListByKeys,
    ListNewest,
    ListPage,
    ListRecentIds,
    ListScopes,
    ListTenants,
    Request,
    Summarize,
)
from axon_storage.model.seals import CountSeals
from axon_storage.model.stats import StorageStats
from axon_storage.model.validation import check_interval, operation_context
from axon_storage.opening import OpenOptions, check_option_names, hide_password
from axon_storage.routing.all_databases import ask_all
from axon_storage.routing.block import Block
from axon_storage.routing.catalogue import (
    Found,
    Placement,
    PlacementState,
    TenantCatalogue,
    check_placeable,
    clock,
)
from axon_storage.routing.databases import Databases, hidden_urls, place_by_file, urls_of
from axon_storage.routing.shared_tasks import SharedTasks
from axon_storage.routing.stats import sum_of
from axon_storage.routing.storages import OpenStorages
from axon_storage.routing.transaction import RoutedTransaction

T = TypeVar("T")

_READS = (
    *(Get, ListByIds, ListByKey, ListByKeys, ListNewest, ListPage, ListRecentIds, ListScopes, ListOld, Summarize),
    *(CountPruned, CountSeals),
)
"""Requests that change nothing. Any other one counts as a write."""

_ROOM_SECONDS = 30.0
"""How long a call waits for one of the open storages, as for a connection of a pool."""

_ROLLED_BACK, _UNKNOWN = "repeat the block", "it may have been carried out"

_STOPPED_SECONDS = 0.1
"""How often the calls of a stopped tenant, all together, read its placement."""


class TenantRouter(StorageBackend):
    """A storage whose tenants are in several databases. Each call uses the database of its tenant.

    ``home``: the URL or the storage of the home database, which has the catalogue: the name of the database of each
    tenant. ``databases``: the URLs by these names, a function that returns the URL of a name, or one URL in which
    ``{tenant}`` stands for the tenant. ``place``: returns the name of the database of a tenant that the catalogue does
    not have. Without it such a tenant is refused, unless each tenant has a database of its own. ``max_open``: how many
    databases are open at most. ``catalogue_seconds``: how long a process uses a placement without asking whether it
    has changed. The other options are those of :func:`open_storage`, for every database::

        databases = {"eu-1": "postgresql://ada@db1.example/agents", "eu-2": "postgresql://ada@db2.example/agents"}
        async with TenantRouter("postgresql://ada@home.example/agents", databases, place=smallest) as storage:
            await storage.for_tenant("acme").load_traces(10)

    A router belongs to one event loop. :meth:`close` closes the home database too, if it was given as a URL.
    """

    def __init__(
        self,
        home: StorageBackend | str,
        databases: Databases,
        *,
        place: Callable[[str], str] | None = None,
        max_open: int = 100,
        catalogue_seconds: float = 5.0,
        **options: Unpack[OpenOptions],
    ) -> None:
        home, databases = hidden(home), hidden_urls(databases)
        hide_password(options)
        check_option_names("TenantRouter", options)
        check_interval(catalogue_seconds, "catalogue_seconds")
        super().__init__(require_tenant=options.get("require_tenant", False))
        self._own_home = LoopLocal(home, **options) if isinstance(home, str) else None
        self._home: StorageBackend = self._own_home or cast("StorageBackend", home)
        self._catalogue = TenantCatalogue(self._home, catalogue_seconds)
        self._url_of = url_of = urls_of(databases)
        self._place = place or place_by_file(databases)
        self._timeout = check_timeout(options.get("operation_timeout", DEFAULT_TIMEOUT))
        room = min(_ROOM_SECONDS, self._timeout)
        self._storages = OpenStorages(lambda name: LoopLocal(url_of(name), **options), max_open, room)
        self._max_open = max_open
        self._lifecycle = Lifecycle()
        self._finding = SharedTasks[Found]()
        self._tasks_in_transaction: set[asyncio.Task[Any] | None] = set()

    @property
    def catalogue(self) -> TenantCatalogue:
        """The catalogue of tenants."""
        return self._catalogue

    async def execute(self, request: Request[T]) -> T:
        with operation_context(request.operation), self._lifecycle.call():
            if isinstance(request, ListTenants):
                return cast("T", await self._tenant_ids())
            if writes := not isinstance(request, _READS):
                self._refuse_outer_write()
            begin, seconds = time.monotonic(), current_timeout(self._timeout)
            while True:
                if (found := self._catalogue.known(request.tenant)) is not None:
                    result = await self._call(found, request)
                else:
                    found = await self._find(request.tenant, writes=writes)
                    with rest_of_timeout(seconds, begin):
                        result = await self._call(found, request)
                if not self._catalogue.is_old(found) or await self._is_in_force(found, writes=writes):
                    return result
                if writes:
                    raise _moved(request.tenant)

    async def _call(self, found: Found, request: Request[T]) -> T:
        async with self._storages.use(found.placement.database) as storage:
            return await storage.execute(request)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StorageBackend]:
        task = asyncio.current_task()
        with self._lifecycle.call("transaction"):
            with operation_context("transaction"):
                self._refuse_outer_write()
            self._tasks_in_transaction.add(task)
            try:
                async with self._block() as block:
                    check = partial(self._check_placements, block, _ROLLED_BACK)
                    transaction = RoutedTransaction(self, block, find=self._find, check=check)
                    if self._tenant is not None:
                        with operation_context("transaction"):
                            await transaction.begin(self._tenant)
                    yield transaction
            finally:
                self._tasks_in_transaction.discard(task)

    @asynccontextmanager
    async def _block(self) -> AsyncIterator[Block]:
        block = Block(self._storages)
        try:
            yield block
            with operation_context("transaction"):
                await self._check_placements(block, _ROLLED_BACK)
        except BaseException as error:
            await block.end(error)
            raise
        await block.end(None)
        with operation_context("transaction"):
            await self._check_placements(block, _UNKNOWN)

    async def _check_placements(self, block: Block, outcome: str) -> None:
        """Raise an error if a tenant of the block was moved, and its rows may have been copied without the block's."""
        for tenant, found in [*block.found.items()]:
            if self._catalogue.is_old(found):
                now = clock()
                if not await self._is_in_force(found, writes=True):
                    raise _moved(tenant, outcome)
                block.found[tenant] = Found(found.placement, now)

    async def stats(self) -> StorageStats:
        """Return the sum of the databases that have tenants, without the state of pools and queues."""
        with operation_context("stats"), self._lifecycle.call():
            names = await self._placed()
            found = await ask_all(self._storages, names.values(), lambda storage: storage.stats())
            return sum_of([*found.values()])

    async def is_healthy(self) -> bool:
        return (await self.health()).healthy

    async def health(self) -> Health:
        """Return the health of the home database, and for a view also that of the tenant's database."""
        if self._lifecycle.is_closed:
            return Health((HealthReason(HealthReasonName.CLOSED, CLOSED),), 0.0)
        return await health_from(self._ask_health, failed=HealthReasonName.CANNOT_OPEN)

    async def _ask_health(self) -> Health:
        with self._lifecycle.call("health"):
            home = await self._home.health()
            placement = await self._catalogue.cached(self._tenant) if self._tenant and home.healthy else None
            if placement is None:
                return home
            async with self._storages.use(placement.database) as storage:
                own = await storage.health()
            return Health(home.reasons + own.reasons, home.seconds + own.seconds)

    async def _tenant_ids(self) -> list[str]:
        """Return the tenants that have rows in their database. Rows elsewhere, such as copies, do not count."""
        placed = await self._placed()
        answers = await ask_all(self._storages, placed.values(), lambda storage: storage.tenant_ids())
        found = {tenant for name, tenants in answers.items() for tenant in tenants if placed.get(tenant) == name}
        for tenant, database in (await self._placed()).items():
            if placed.get(tenant, database) != database and await has_rows(self, "tenant_ids", tenant):
                found.add(tenant)  # it was moved meanwhile
        return sorted(found)

    async def _placed(self) -> dict[str, str]:
        return {placement.tenant: placement.database for placement in await self._catalogue.list()}

    async def _find(self, tenant: str, *, writes: bool = True, may_wait: bool = True) -> Found:
        """Return the placement of a tenant, and place it if it is new. Wait while the tenant is stopped for writes."""
        check_placeable(tenant)
        if (found := self._catalogue.known(tenant)) is not None:
            return found
        with Deadline(current_timeout(self._timeout), waiting_for="the catalogue of tenants") as deadline:
            while True:
                found = await self._finding.run(tenant, partial(self._read_or_place, tenant))
                if not writes or found.placement.state is PlacementState.ACTIVE:
                    return found
                if not may_wait:
                    message = f"{tenant!r} is being moved to another database: repeat the block"
                    raise StorageConnectionError(message, transient=True)
                deadline.waiting_for = f"the move of {tenant!r} to another database"
                await asyncio.sleep(_STOPPED_SECONDS)

    async def _read_or_place(self, tenant: str) -> Found:
        if (found := await self._catalogue.find(tenant)) is not None:
            return found
        if self._place is None:
            message = f"{tenant!r} has no database: add it with catalogue.put(Placement(...)), or pass place"
            raise TenantMismatchError(message)
        new = Placement(tenant, self._place(tenant))
        self._url_of(new.database)  # an unknown name is not stored
        as_of = clock()
        await self._catalogue.put(new)
        return await self._catalogue.find(tenant) or Found(new, as_of)  # another process may have placed it

    async def _is_in_force(self, found: Found, *, writes: bool) -> bool:
        """Return whether the result of a call counts that has used a placement which was read long ago."""
        return all(
            change.database == found.placement.database and not (writes and change.state is PlacementState.DRAINED)
            for change in await self._catalogue.changes(found.placement)
        )

    def _refuse_outer_write(self) -> None:
        """Raise a QueryError if this task is inside one of this router's ``transaction()`` blocks."""
        if self._tasks_in_transaction and asyncio.current_task() in self._tasks_in_transaction:
            message = "this task is inside a transaction() of this storage: use the methods of the transaction object"
            raise QueryError(message)

    def _describe(self) -> list[str]:
        return [f"{len(self._storages)} of {self._max_open} databases open"]

    async def _close(self) -> None:
        self._lifecycle.check_outside_call()
        await self._lifecycle.close()
        if self._lifecycle.is_forked:  # the connections belong to the parent process
            return
        await self._storages.close()
        if self._own_home is not None:
            await self._own_home.close()


def _moved(tenant: str, outcome: str = _UNKNOWN) -> StorageConnectionError:
    message = f"{tenant!r} was moved to another database while the call was in progress: {outcome}"
    return StorageConnectionError(message, transient=True)
