"""BackendBase: the tenant and the life cycle of a storage, and what a backend implements."""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from copy import copy
from types import TracebackType
from typing import Self, TypeVar

from axon_storage.model.requests import Request
from axon_storage.tenancy import TenantFallback, check_tenant

T = TypeVar("T")


class BackendBase(ABC):
    """The base class of all storages: the tenant of a call, views, and closing.

    A backend is a subclass of :class:`StorageBackend`, and implements ``execute``, ``transaction``, ``stats``,
    ``is_healthy`` and ``_close``. A view is a shallow copy of it, so what changes is in an object that both have.

    ``require_tenant``: raise an error for calls without a tenant. ``tenant``: makes the object a view, whose calls all
    use this tenant. ``fallback``: determines the tenant of calls without a view; a transaction uses its storage's.
    """

    def __init__(
        self, *, require_tenant: bool = False, tenant: str | None = None, fallback: TenantFallback | None = None
    ) -> None:
        self._tenant = tenant
        self._fallback = fallback or TenantFallback(required=require_tenant)

    # Methods that a backend implements.

    @abstractmethod
    async def execute(self, request: Request[T]) -> T:
        """Execute a validated request, and return its result. The other methods create the requests."""

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager["BackendBase"]:
        """Open a transaction for an ``async with`` block."""

    @abstractmethod
    async def is_healthy(self) -> bool:
        """Return whether the database answers and accepts writes; never raise."""

    @abstractmethod
    async def _close(self) -> None:
        """Close the connections and other resources."""

    def _describe(self) -> list[str]:
        """Return the parts that ``repr`` shows after the class name. They must not contain a password."""
        return []

    def _iteration_backend(self) -> "BackendBase":
        """Return the backend that reads all pages of an iterator created now."""
        return self

    # Tenants and life cycle.

    def current_tenant(self, *, required: bool = False) -> str:
        """Return the tenant of a call that is made now.

        That is the tenant of the view, otherwise that of the enclosing :func:`axon_storage.tenant_scope`, otherwise
        ``"default"``. With ``required``, or if the storage has ``require_tenant``, raise a
        :class:`TenantMismatchError` instead of using the default.
        """
        return self._tenant or self._fallback.current_tenant(required=required)

    @property
    def view_tenant(self) -> str | None:
        """The tenant of a view, or None if this object is not a view."""
        return self._tenant

    @property
    def tenant_fallback(self) -> TenantFallback:
        """The object that determines the tenant of calls without a view."""
        return self._fallback

    def for_tenant(self, tenant: str) -> Self:
        """Return a view of this storage whose calls all use ``tenant`` (1 to 64 characters).

        Creating a view takes little time. It shares the connections of the storage. Closing a view does nothing.
        """
        view = copy(self)
        view._tenant = check_tenant(tenant)
        self.tenant_fallback.note(tenant)
        return view

    async def close(self) -> None:
        """Wait for the calls in progress, then close the connections."""
        if self._tenant is None:
            await self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        tenant = [] if self._tenant is None else [f"tenant={self._tenant!r}"]
        return f"<{' '.join([type(self).__name__, *self._describe(), *tenant])}>"
