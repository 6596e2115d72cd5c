"""Copies the seals of the audit log to another database."""

from collections.abc import Iterable

from axon_storage.audit.storages import given_tenants, seal_pages, sealed_tenants
from axon_storage.backend import StorageBackend
from axon_storage.engine.url import hidden
from axon_storage.errors import InvalidArgumentError
from axon_storage.model.seals import AddSeal
from axon_storage.transfer.storages import opened, refuse_same_database

_COPY = "copy_seals"
_SHOWN = 40


async def copy_seals(
    source: StorageBackend | str, target: StorageBackend | str, *, tenants: Iterable[str] | None = None
) -> int:
    """Copy the seals to another database of any kind, and return their number.

    :func:`axon_storage.transfer.copy` does not copy them. Afterwards the seals that were kept elsewhere verify the
    audit log of ``target``, and its next run continues the chain. ``tenants``: None means all, or the tenant of a view.
    Seals that ``target`` has already are kept. If it has another chain of a tenant, an
    :class:`axon_storage.InvalidArgumentError` is raised::

        await copy("sqlite:///agents.db", "postgresql://ada@db.example/agents")
        await copy_seals("sqlite:///agents.db", "postgresql://ada@db.example/agents")

    Seal once more before the copy if the audit log was pruned: the last seal tells the target up to when.
    """
    source, target = hidden(source), hidden(target)
    async with (
        opened("source", source, migrate=False) as one,
        opened("target", target, migrate=False) as other,
    ):
        await refuse_same_database(one, other)
        names = given_tenants(given_tenants(tenants, one), other)
        copied = 0
        for tenant in await sealed_tenants(_COPY, one.repository) if names is None else names:
            async for page in seal_pages(_COPY, one.repository, tenant):
                for seal in page:
                    if not await other.repository.execute(AddSeal(operation=_COPY, tenant=tenant, seal=seal)):
                        raise InvalidArgumentError(f"target: it has other seals of tenant {tenant[:_SHOWN]!r}")
                copied += len(page)
    return copied
