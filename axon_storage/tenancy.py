"""The tenant of a call: that of the view, otherwise that of the enclosing ``tenant_scope``, otherwise ``"default"``.

In a web framework use :meth:`for_tenant <axon_storage.StorageBackend.for_tenant>`: one view of the storage for each
request. A ``tenant_scope`` in a dependency may not reach the request handler. FastAPI, for example, runs a synchronous
dependency in a worker thread, which has a separate context::

    def storage_of_request(request: Request) -> StorageBackend:
        return storage.for_tenant(request.headers["X-Tenant"])  # reaches the handler

    def scope_of_request(request: Request) -> Iterator[None]:
        with tenant_scope(request.headers["X-Tenant"]):  # set in the worker thread only; the handler uses "default"
            yield

With ``require_tenant=True``, a call without a tenant raises an error. Otherwise, a storage that was used with another
tenant than ``"default"`` logs one warning when a call has no tenant.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from axon_storage.errors import TenantMismatchError
from axon_storage.model.checks import refusal
from axon_storage.model.values import TENANT

DEFAULT_TENANT = "default"

_log = logging.getLogger(__name__)

_scope: ContextVar[str | None] = ContextVar("axon_storage_tenant", default=None)


@contextmanager
def tenant_scope(tenant: str) -> Iterator[str]:
    """Make ``tenant`` (1 to 64 characters) the tenant of every call inside the block, and of tasks started there.

    Inside a generator use ``for_tenant`` instead: while the generator is suspended, its scope also applies to its
    consumer, and it remains set if the consumer never finishes the generator. In a dependency of a web framework use
    ``for_tenant`` as well: a scope that is set in a worker thread does not apply to the request handler.
    """
    token = _scope.set(check_tenant(tenant))
    try:
        yield tenant
    finally:
        # If the event loop closes an unfinished async generator, this runs in another context, where token is invalid.
        with suppress(ValueError):
            _scope.reset(token)


def current_tenant(*, required: bool = False) -> str:
    """Return the tenant of the scope, or the default. ``required``: raise a TenantMismatchError if no scope is set."""
    tenant = _scope.get()
    if tenant is None and required:
        raise TenantMismatchError("no tenant: use for_tenant() or tenant_scope()")
    return DEFAULT_TENANT if tenant is None else tenant


class TenantFallback:
    """Determines the tenant of calls without a view. A storage, its views and its transactions share one instance.

    ``required``: raise a :class:`TenantMismatchError` for a call without a tenant.
    """

    __slots__ = ("_has_warned", "_required", "named")

    def __init__(self, *, required: bool = False) -> None:
        self._required, self._has_warned = required, False
        self.named = False
        """Whether another tenant than the default was used."""

    def note(self, tenant: str) -> None:
        """Record that a call or a view used this tenant."""
        if tenant != DEFAULT_TENANT:
            self.named = True

    def current_tenant(self, *, required: bool = False) -> str:
        """Return the tenant of the scope, or the default; log one warning if another tenant was used before.

        ``required``: raise a TenantMismatchError instead of using the default.
        """
        required = required or self._required
        tenant = _scope.get()
        if tenant is not None:
            self.note(tenant)
            return tenant
        if self.named and not self._has_warned and not required:
            self._has_warned = True
            _log.warning(
                "a call without a tenant uses %r, although this storage was used with another tenant before: "
                "use for_tenant(), or open the storage with require_tenant=True",
                DEFAULT_TENANT,
                stack_info=True,
            )
        return current_tenant(required=required)


def check_tenant(tenant: str) -> str:
    """Return a tenant's name; raise a SerializationError if it is invalid."""
    try:
        return TENANT.check(tenant)
    except ValueError as refused:
        raise refusal("tenant_id", refused) from None
