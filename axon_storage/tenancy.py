"""The tenant of a call: the view's, else that of the enclosing ``tenant_scope``, else ``"default"``.

In a web framework use :meth:`for_tenant <axon_storage.StorageBackend.for_tenant>`: one view of the storage for each
request. A ``tenant_scope`` in a dependency may not reach the request handler. FastAPI, for example, runs a synchronous
dependency in a worker thread, with a context of its own::

    def storage_of_request(request: Request) -> StorageBackend:
        return storage.for_tenant(request.headers["X-Tenant"])  # reaches the handler

    def scope_of_request(request: Request) -> Iterator[None]:
        with tenant_scope(request.headers["X-Tenant"]):  # ends with the worker thread; the handler uses "default"
            yield

With ``require_tenant=True`` a call that names no tenant is an error. Without it, a storage that has served a named
tenant logs one warning when a call names none.
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

    Inside a generator use ``for_tenant`` instead: while the generator is suspended, its scope applies to its consumer
    too, and it stays if the consumer never finishes the generator. In a dependency of a web framework use
    ``for_tenant`` as well: a dependency that runs in a worker thread does not pass the scope on.
    """
    token = _scope.set(check_tenant(tenant))
    try:
        yield tenant
    finally:
        # An event loop closes an unfinished async generator in another context, where the scope was never set.
        with suppress(ValueError):
            _scope.reset(token)


def current_tenant(*, required: bool = False) -> str:
    """Return the scope's tenant, or the default one; with ``required``, no scope is a TenantMismatchError."""
    tenant = _scope.get()
    if tenant is None and required:
        raise TenantMismatchError("no tenant: use for_tenant() or tenant_scope()")
    return DEFAULT_TENANT if tenant is None else tenant


class TenantFallback:
    """Chooses the tenant of a call that is made on no view. A storage, its views and its transactions share one.

    ``required``: a call that names no tenant is a :class:`TenantMismatchError`.
    """

    __slots__ = ("_has_warned", "_required", "named")

    def __init__(self, *, required: bool = False) -> None:
        self._required, self._has_warned = required, False
        self.named = False
        """Whether a tenant other than the default one has been named."""

    def note(self, tenant: str) -> None:
        """Note that a tenant was named."""
        if tenant != DEFAULT_TENANT:
            self.named = True

    def current_tenant(self) -> str:
        """Return the scope's tenant, or the default one, with one warning in the log if another has been named."""
        tenant = _scope.get()
        if tenant is not None:
            self.note(tenant)
            return tenant
        if self.named and not self._has_warned and not self._required:
            self._has_warned = True
            _log.warning(
                "a call without a tenant uses %r, though this storage has served a named tenant: "
                "use for_tenant(), or open the storage with require_tenant=True",
                DEFAULT_TENANT,
                stack_info=True,
            )
        return current_tenant(required=self._required)


def check_tenant(tenant: str) -> str:
    """Return a tenant's name; a name that a row could not have is a SerializationError."""
    try:
        return TENANT.check(tenant)
    except ValueError as refused:
        raise refusal("tenant_id", refused) from None
