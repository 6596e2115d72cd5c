"""BackendBase: converts the arguments of public methods into requests."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager
from copy import copy
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from axon_storage.model.ids import check_id
from axon_storage.model.requests import Append, Delete, Get, ListByKey, ListNewest, ListPage, Request, Save
from axon_storage.model.rows import Recorded, Row, check_values
from axon_storage.model.validation import id_range, operation_context, validate_fields, validate_page, validate_row
from axon_storage.tenancy import TenantFallback, check_tenant

PAGE_SIZE = 500
"""The default number of rows that an iterator reads at a time."""

T = TypeVar("T")
R = TypeVar("R", bound=Row)


class BackendBase(ABC):
    """Converts method arguments into validated requests, and executes them.

    A subclass implements :meth:`execute`, :meth:`transaction`, :meth:`is_healthy` and ``_close``.

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

    # One method for each kind of request.

    async def _save(self, operation: str, row_type: type[Row], rows: Iterable[Row]) -> None:
        with operation_context(operation):
            tenant = self.current_tenant()
            checked = [validate_row(row, row_type, tenant) for row in rows]
        if checked:
            await self.execute(Save(operation=operation, tenant=tenant, rows=checked))

    async def _append(self, operation: str, row: Row, row_type: type[Row], row_id: UUID | None) -> UUID:
        with operation_context(operation):
            tenant = self.current_tenant()
            checked = validate_row(row, row_type, tenant)
            row_id = None if row_id is None else check_id(row_id)
        return await self.execute(Append(operation=operation, tenant=tenant, row=checked, id=row_id))

    async def _get(self, operation: str, row_type: type[R], *key: Any) -> R | None:
        with operation_context(operation):
            fields = validate_fields(row_type, dict(zip(row_type.KEY, key, strict=True)))
            request = Get(operation=operation, tenant=self.current_tenant(), row_type=row_type, key=fields)
        return await self.execute(request)

    async def _list_by_key(self, operation: str, row_type: type[R], *prefix: Any) -> list[R]:
        with operation_context(operation):
            fields = validate_fields(row_type, dict(zip(row_type.KEY, prefix, strict=False)))
            request = ListByKey(operation=operation, tenant=self.current_tenant(), row_type=row_type, prefix=fields)
        return await self.execute(request)

    async def _list_newest(
        self, operation: str, row_type: type[R], limit: int, offset: int = 0, **where: Any
    ) -> list[R]:
        with operation_context(operation):
            validate_page(limit=limit, offset=offset)
            fields = validate_fields(row_type, {name: value for name, value in where.items() if value is not None})
            tenant = self.current_tenant()
        return await self.execute(
            ListNewest(operation=operation, tenant=tenant, row_type=row_type, where=fields, limit=limit, offset=offset)
        )

    def _iterate(
        self,
        operation: str,
        row_type: type[R],
        since: datetime | None,
        until: datetime | None,
        page_size: int,
        **where: Any,
    ) -> AsyncGenerator[Recorded[R], None]:
        with operation_context(operation):
            validate_page(low=1, page_size=page_size)
            after, before = id_range(since, until)
            fields = validate_fields(row_type, {name: value for name, value in where.items() if value is not None})
            tenant = self.current_tenant()
        first = ListPage(
            operation=operation,
            tenant=tenant,
            row_type=row_type,
            where=fields,
            after=after,
            before=before,
            limit=page_size,
        )
        return _pages(self._iteration_backend(), first)

    async def _delete(self, operation: str, row_type: type[Row], *prefix: Any, last: Iterable[Any]) -> int:
        with operation_context(operation):
            fields = validate_fields(row_type, dict(zip(row_type.KEY, prefix, strict=False)))
            keys = check_values(row_type, row_type.KEY[-1], last)
            tenant = self.current_tenant()
        return await self.execute(
            Delete(operation=operation, tenant=tenant, row_type=row_type, prefix=fields, last=keys)
        )


async def _pages(backend: BackendBase, page: ListPage[R]) -> AsyncGenerator[Recorded[R], None]:
    while True:
        found = await backend.execute(page)
        for recorded in found:
            yield recorded
        if len(found) < page.limit:
            return
        page = replace(page, after=found[-1].id)
