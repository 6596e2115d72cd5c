"""TenantCatalogue: the database of each tenant, stored as session entries of a reserved tenant in the home database.

Rules:

1. The scope of an entry is the tenant, and its key the version of the placement. The entry with the largest key is in
   force. ``value`` is the name of the database, and ``source_step`` the state.
2. A placement is changed by creating the entry of the next version. Of several writers that do so, one succeeds.
3. The transaction that changes a placement also replaces the epoch, the entry with an empty scope. Each process reads
   the epoch when its cache is older than ``seconds``, and empties the cache if the epoch has changed. A placement that
   is not active is not cached. So a call that begins ``seconds`` after a change was committed knows of it. A call that
   began before goes on in the database that it has found.
4. The first placement of a tenant leaves the epoch as it is, because a tenant without a placement is not cached.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from uuid import uuid4

from axon_storage.backend import StorageBackend
from axon_storage.errors import QueryError, StorageError, TenantMismatchError
from axon_storage.model.rows import SessionRow
from axon_storage.routing.shared_tasks import SharedTasks
from axon_storage.tenancy import check_tenant

CATALOGUE_TENANT = "axon_storage_catalogue"
"""The tenant of the home database that has the catalogue. Calls of a router cannot use it."""

_EPOCH = ("", "epoch")


class PlacementState(StrEnum):
    """What the calls of a tenant may do."""

    ACTIVE = "active"
    """They read and write."""
    STOPPED = "stopped"
    """They read. Writes and ``transaction()`` blocks raise a transient :class:`StorageConnectionError`."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The database of a tenant. ``database``: its name. ``version``: 1 for the first placement, then one more each."""

    tenant: str
    database: str
    version: int = 1
    state: PlacementState = PlacementState.ACTIVE


class TenantCatalogue:
    """Reads and changes the placements in ``home``. ``seconds``: how old a cached placement may be."""

    def __init__(self, home: StorageBackend, seconds: float = 5.0) -> None:
        self._home, self._seconds = home.for_tenant(CATALOGUE_TENANT), seconds
        self._cache: dict[str, Placement] = {}
        self._epoch, self._valid_until = "", 0.0
        self._reading = SharedTasks[None]()

    async def cached(self, tenant: str) -> Placement | None:
        """Return the placement of a tenant, or None. It was in force ``seconds`` ago or later."""
        cache = await self._current_cache()
        if (found := cache.get(tenant)) is None:
            found = await self.get(tenant)
            # If the epoch has changed meanwhile, ``cache`` is no longer used.
            if found is not None and found.state is PlacementState.ACTIVE:
                cache[tenant] = found
        return found

    async def get(self, tenant: str) -> Placement | None:
        """Return the placement of a tenant that is in force now, or None."""
        with _named():
            found = await self._home.load_sessions(check_tenant(tenant), limit=1, reverse=True)
        return _placement(found[0]) if found else None

    async def list(self) -> list[Placement]:
        """Return the placements that are in force, in the order of the tenants."""
        with _named():
            newest = {row.scope: row async for row in self._home.scan(SessionRow) if row.scope}
        return [_placement(row) for row in newest.values()]

    async def put(self, placement: Placement) -> bool:
        """Store a placement. Return False, and store nothing, if the tenant has one with this version."""
        with _named():
            check_tenant(placement.tenant)
            if placement.version == 1:
                return await self._home.create(_row(placement))
            async with self._home.transaction() as transaction:
                if created := await transaction.create(_row(placement)):
                    epoch = SessionRow(scope=_EPOCH[0], key=_EPOCH[1], value=uuid4().hex, source_step="")
                    await transaction.save_session(epoch)
        self._valid_until = 0.0
        return created

    def known(self, tenant: str) -> Placement | None:
        """Return the placement of a tenant if it is cached and new enough."""
        return self._cache.get(tenant) if time.monotonic() < self._valid_until else None

    async def _current_cache(self) -> dict[str, Placement]:
        if time.monotonic() >= self._valid_until:
            await self._reading.run("", self._read_epoch)
        return self._cache

    async def _read_epoch(self) -> None:
        begin = time.monotonic()
        with _named():
            found = await self._home.get_session(*_EPOCH)
        epoch = "" if found is None else found.value
        if epoch != self._epoch:
            self._epoch, self._cache = epoch, {}
        self._valid_until = begin + self._seconds


def check_placeable(tenant: str) -> None:
    """Raise an error for the tenant of the catalogue, and for the empty tenant of calls about every tenant."""
    if tenant == CATALOGUE_TENANT:
        raise TenantMismatchError(f"{tenant!r} is the tenant of the catalogue: use another name")
    if not tenant:
        raise QueryError(
            "the call is about every tenant: make it outside of a transaction(), or on the storage of each database"
        )


@contextmanager
def _named() -> Iterator[None]:
    """Say in errors that the call was about the catalogue."""
    try:
        yield
    except StorageError as error:
        error.message, error.operation = f"the catalogue of tenants: {error.message}", None
        raise


def _row(placement: Placement) -> SessionRow:
    key = f"{placement.version:010}"
    return SessionRow(scope=placement.tenant, key=key, value=placement.database, source_step=placement.state.value)


def _placement(row: SessionRow) -> Placement:
    return Placement(row.scope, row.value, int(row.key), PlacementState(row.source_step))
