"""TenantCatalogue: the database of each tenant, stored as session entries of a reserved tenant in the home database.

Rules:

1. The scope of an entry is the tenant, and its key the version of the placement. The entry with the largest key is in
   force. ``value`` is the name of the database. ``source_step`` is the state, and after a space ``other``.
2. A placement is changed by creating the entry of the next version. Of several writers that do so, one succeeds.
3. The transaction that changes a placement also replaces the epoch, the entry with an empty scope. Each process reads
   the epoch when its cache is older than ``seconds``, and empties the cache if the epoch has changed. A placement that
   is not active is not cached. So a call that begins ``seconds`` after a change was committed knows of it. A call that
   began before goes on in the database that it has found.
4. The first placement of a tenant leaves the epoch as it is, because a tenant without a placement is not cached.
5. A call whose placement was read more than two times ``seconds`` ago reads it again before it returns its result. So
   no call returns a result of a placement that was replaced more than two times ``seconds`` ago.
6. Before a process reads the epoch for the first time, it stores its ``seconds``, so that :meth:`known_after` knows
   those of every process.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple
from uuid import uuid4

from axon_storage.backend import StorageBackend
from axon_storage.errors import QueryError, StorageError, TenantMismatchError
from axon_storage.model.rows import SessionRow
from axon_storage.routing.shared_tasks import SharedTasks
from axon_storage.tenancy import check_tenant

CATALOGUE_TENANT = "axon_storage_catalogue"
"""The tenant of the home database that has the catalogue. Calls of a router cannot use it."""

MOVES_TENANT = "axon_storage_moves"
"""The tenant whose entries say in a database which move may change its rows, while a tenant is moved."""

_EPOCH = ("", "epoch")

_SECONDS = "seconds "
"""The key of an entry with an empty scope, followed by the ``seconds`` of at least one process."""

_CLOCKS_DIFFER = 1.1
"""By how much the seconds of two machines' clocks may differ: far more than those of any that work."""

_clock_id: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def clock() -> float:
    """Return the seconds of a clock that never goes back, and on Linux goes on while the machine sleeps."""
    return time.monotonic() if _clock_id is None else time.clock_gettime(_clock_id)


class PlacementState(StrEnum):
    """What the calls of a tenant may do."""

    ACTIVE = "active"
    """They read and write."""
    STOPPED = "stopped"
    """They read. Writes and ``transaction()`` blocks wait. Those in progress may end."""
    DRAINED = "drained"
    """They read. Writes wait, and one that is still in progress does not succeed: the rows no longer change."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The database of a tenant. ``database``: its name. ``version``: 1 for the first placement, then one more each.

    ``other``: the name of another database that has rows of the tenant, which no call uses: those that a move has
    copied already, or has not deleted yet.
    """

    tenant: str
    database: str
    version: int = 1
    state: PlacementState = PlacementState.ACTIVE
    other: str = ""


class Found(NamedTuple):
    """A placement, and a time of :func:`clock` at which it was in force."""

    placement: Placement
    as_of: float


class TenantCatalogue:
    """Reads and changes the placements in ``home``. ``seconds``: how old a cached placement may be."""

    def __init__(self, home: StorageBackend, seconds: float = 5.0) -> None:
        self._home, self._seconds = home.for_tenant(CATALOGUE_TENANT), seconds
        self._cache: dict[str, Placement] = {}
        self._epoch, self._valid_until, self._is_registered = "", 0.0, False
        self._reading = SharedTasks[None]()

    @property
    def seconds(self) -> float:
        """How old a cached placement may be."""
        return self._seconds

    async def cached(self, tenant: str) -> Placement | None:
        """Return the placement of a tenant, or None. If home answers soon, it was in force ``seconds`` ago or later."""
        found = await self.find(tenant)
        return None if found is None else found.placement

    async def find(self, tenant: str) -> Found | None:
        """Return the placement of a tenant, and when it was in force; or None."""
        cache = await self._current_cache()
        as_of = self._valid_until - self._seconds
        if (placement := cache.get(tenant)) is not None:
            return Found(placement, as_of)
        as_of = clock()
        if (placement := await self.get(tenant)) is None:
            return None
        # If the epoch has changed meanwhile, ``cache`` is no longer used.
        if placement.state is PlacementState.ACTIVE:
            cache[tenant] = placement
        return Found(placement, as_of)

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

    async def changes(self, placement: Placement) -> Sequence[Placement]:
        """Return the placements that have replaced this one, in the order of their versions."""
        with _named():
            found = await self._home.load_sessions(placement.tenant, start=_key(placement.version + 1))
        return [_placement(row) for row in found]

    async def known_after(self) -> float:
        """Return the seconds after which no call of any process returns a result of a placement replaced by now."""
        with _named():
            entries = await self._home.load_sessions("", start=_SECONDS, end=_SECONDS + "~")
        return max([float(entry.value) for entry in entries], default=0.0) * 2 * _CLOCKS_DIFFER

    def known(self, tenant: str) -> Found | None:
        """Return the placement of a tenant if it is cached and new enough."""
        if clock() >= self._valid_until or (placement := self._cache.get(tenant)) is None:
            return None
        return Found(placement, self._valid_until - self._seconds)

    def is_old(self, found: Found) -> bool:
        """Return whether a call that used a placement must read it again before it returns its result."""
        return clock() - found.as_of > 2 * self._seconds

    async def _current_cache(self) -> dict[str, Placement]:
        if clock() >= self._valid_until:
            await self._reading.run("", self._read_epoch)
        return self._cache

    async def _read_epoch(self) -> None:
        if not self._is_registered:
            await self._register()
        begin = clock()
        with _named():
            found = await self._home.get_session(*_EPOCH)
        epoch = "" if found is None else found.value
        if epoch != self._epoch:
            self._epoch, self._cache = epoch, {}
        self._valid_until = begin + self._seconds

    async def _register(self) -> None:
        """Store how long this process uses a placement."""
        value = repr(self._seconds)
        with _named():
            await self._home.create(SessionRow(scope="", key=_SECONDS + value, value=value, source_step=""))
        self._is_registered = True


def check_placeable(tenant: str) -> None:
    """Raise an error for the reserved tenants, and for the empty tenant of calls about every tenant."""
    if tenant == CATALOGUE_TENANT:
        raise TenantMismatchError(f"{tenant!r} is the tenant of the catalogue: use another name")
    if tenant == MOVES_TENANT:
        raise TenantMismatchError(f"{tenant!r} is the tenant of moves: use another name")
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
    state = f"{placement.state} {placement.other}" if placement.other else str(placement.state)
    key = _key(placement.version)
    return SessionRow(scope=placement.tenant, key=key, value=placement.database, source_step=state)


def _placement(row: SessionRow) -> Placement:
    state, _, other = row.source_step.partition(" ")
    return Placement(row.scope, row.value, int(row.key), PlacementState(state), other)


def _key(version: int) -> str:
    return f"{version:010}"
