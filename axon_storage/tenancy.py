"""The tenant of a call: the view's, else that of the enclosing ``tenant_scope``, else ``"default"``."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from axon_storage.errors import TenantMismatchError
from axon_storage.model.checks import refusal
from axon_storage.model.values import TENANT

DEFAULT_TENANT = "default"

_scope: ContextVar[str | None] = ContextVar("axon_storage_tenant", default=None)


@contextmanager
def tenant_scope(tenant: str) -> Iterator[str]:
    """Make ``tenant`` (1 to 64 characters) the tenant of every call inside the block, and of tasks started there.

    Inside a generator use ``for_tenant`` instead: Python keeps the scope for the generator's consumer too while the
    generator is suspended, and for good where the consumer leaves it before its end.
    """
    token = _scope.set(check_tenant(tenant))
    try:
        yield tenant
    finally:
        # an event loop closes an async generator that was left early in another context, which never had the scope
        with suppress(ValueError):
            _scope.reset(token)


def current_tenant(*, required: bool = False) -> str:
    """Give the scope's tenant, or the default one; where one is ``required``, that is a TenantMismatchError."""
    tenant = _scope.get()
    if tenant is None and required:
        raise TenantMismatchError("no tenant: use for_tenant() or tenant_scope()")
    return DEFAULT_TENANT if tenant is None else tenant


def check_tenant(tenant: str) -> str:
    """Give back a tenant's name, or raise the SerializationError a row with it would raise."""
    try:
        return TENANT.check(tenant)
    except ValueError as refused:
        raise refusal("tenant_id", refused) from None
