"""The storages and tenants of a transfer: opening URLs, checks of the arguments."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import schema
from axon_storage.backend import StorageBackend
from axon_storage.backend.prune_run import has_rows
from axon_storage.dialects import dialect_of
from axon_storage.dispatcher import StorageDispatcher, open_storage
from axon_storage.engine.executor import Executor
from axon_storage.engine.url import hidden
from axon_storage.errors import InvalidArgumentError, StorageConnectionError, TenantMismatchError
from axon_storage.repository import SqlRepository
from axon_storage.schema.revisions import revision_problem
from axon_storage.sql.unit_of_work import UnitOfWork
from axon_storage.tenancy import check_tenant

_SHOWN = 40


class Side(NamedTuple):
    """A storage of a transfer. ``tenant``: the only tenant that it may use, if it is a view."""

    repository: SqlRepository
    tenant: str | None


@asynccontextmanager
async def opened(argument: str, storage: StorageBackend | str, *, migrate: bool | None = None) -> AsyncIterator[Side]:
    """Check a storage, or open the storage of a URL for a block. ``argument``: its name in errors."""
    storage = hidden(storage)
    if isinstance(storage, str):
        async with open_storage(storage, migrate=migrate) as own:
            yield _side(argument, own)
        return
    side = _side(argument, storage)
    # not schema.check, which would log the server's settings again
    if problem := revision_problem(await schema.current(side.repository.engine), allow_ahead=False):
        raise StorageConnectionError(f"{argument}: {problem}")
    yield side


def _side(argument: str, storage: StorageBackend) -> Side:
    backend = storage.backend if isinstance(storage, StorageDispatcher) else storage
    if not isinstance(backend, SqlRepository):
        raise InvalidArgumentError(
            f"{argument}: {type(backend).__name__} has no database; pass a storage that is open on a database"
        )
    return Side(backend, storage.view_tenant or backend.view_tenant)


async def refuse_same_database(source: Side, target: Side) -> None:
    """Raise an InvalidArgumentError if both storages have the same engine, or use the same database."""
    one, other = source.repository.engine, target.repository.engine
    if one is other or await _identity(one) == await _identity(other):
        raise InvalidArgumentError("source and target are the same database; pass two databases")


async def _identity(engine: AsyncEngine) -> tuple[object, ...]:
    read = dialect_of(engine.dialect).identity
    return await Executor(engine).run("open", UnitOfWork(read, writes=False))


async def tenants_of(tenants: Iterable[str] | None, sides: Iterable[Side], listed: Iterable[Side]) -> list[str]:
    """Return the tenants of a transfer between ``sides``, sorted.

    They are those given, otherwise that of the views, otherwise all tenants of the storages ``listed``. Raise an
    InvalidArgumentError for a given tenant that none of the storages ``listed`` has: its name may be wrong.
    """
    views = {side.tenant for side in sides if side.tenant is not None}
    if len(views) > 1:
        raise TenantMismatchError("the storages are views of different tenants; pass views of the same tenant")
    if tenants is None:
        return sorted(views.union(*[await side.repository.tenant_ids() for side in listed if not views]))
    if isinstance(tenants, str):
        raise InvalidArgumentError("tenants: a string is not a list of tenants; pass a list")
    given = {check_tenant(tenant) for tenant in tenants}
    if views and given != views:
        raise TenantMismatchError("tenants: a storage is a view of another tenant; pass the storage itself")
    for tenant in sorted(given - views):
        # not a list of all tenants, which an account that row-level security binds cannot read
        if not any([await has_rows(side.repository, "open", tenant) for side in listed]):
            raise InvalidArgumentError(f"tenants: there are no rows of tenant {tenant[:_SHOWN]!r}; correct the name")
    return sorted(given)
