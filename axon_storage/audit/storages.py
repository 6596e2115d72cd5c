"""What the functions share: their tenants, the seals of a tenant, and up to when its audit log was pruned."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import datetime

from axon_storage.errors import InvalidArgumentError, TenantMismatchError
from axon_storage.model.seals import ListSealedTenants, ListSeals, Seal, SealState
from axon_storage.repository import SqlRepository
from axon_storage.tenancy import check_tenant
from axon_storage.transfer.storages import Side

_PAGE = 16  # a seal has up to 64 KB of digests


def given_tenants(tenants: Iterable[str] | None, side: Side) -> list[str] | None:
    """Return the tenants that were given, otherwise that of the view, sorted; None for all."""
    if tenants is None:
        return None if side.tenant is None else [side.tenant]
    if isinstance(tenants, str):
        raise InvalidArgumentError("tenants: a string is not a list of tenants; pass a list")
    given = {check_tenant(tenant) for tenant in tenants}
    if side.tenant is not None and given != {side.tenant}:
        raise TenantMismatchError("tenants: the storage is a view of another tenant; pass the storage itself")
    return sorted(given)


async def sealed_tenants(operation: str, repository: SqlRepository) -> list[str]:
    """Return the tenants that have seals, sorted."""
    found: Sequence[str] = await repository.execute(ListSealedTenants(operation=operation, tenant=""))
    return list(found)


async def seal_pages(
    operation: str, repository: SqlRepository, tenant: str, after: int = 0
) -> AsyncGenerator[Sequence[Seal], None]:
    """Yield the seals of a tenant with numbers above ``after``, in their order, in pages."""
    while True:
        page = await repository.execute(ListSeals(operation=operation, tenant=tenant, after=after, limit=_PAGE))
        yield page
        if len(page) < _PAGE:
            return
        after = page[-1].number


def pruned_before(state: SealState) -> datetime | None:
    """Return up to when the audit log was pruned: in this database, or before it was copied here."""
    times = [state.pruned_before, None if state.last is None else state.last.pruned_before]
    return max([time for time in times if time is not None], default=None)
