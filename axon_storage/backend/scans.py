"""The method of a storage that yields every row of a type."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, TypeVar

from axon_storage.backend.base import BackendBase
from axon_storage.backend.calls import PAGE_SIZE, RequestMethods
from axon_storage.errors import InvalidArgumentError
from axon_storage.model.requests import ListByKey
from axon_storage.model.rows import ROW_TYPES, Recorded, Row, TraceRow
from axon_storage.model.validation import operation_context, validate_page

R = TypeVar("R", bound=Row)


class ScanMethods(RequestMethods):
    """A method that yields every row of a type."""

    def scan(self, row_type: type[R], *, page_size: int = PAGE_SIZE) -> AsyncGenerator[R]:
        """Yield every row of a type, such as ``SessionRow``. Only one page of ``page_size`` rows is in memory.

        Rows with a key are in the order of their keys. Traces and append-only rows are in the order of their iterators,
        oldest first. Expired results are left out. As with :meth:`iter_traces`, rows that are stored or deleted
        meanwhile may or may not appear::

            async for entry in storage.scan(SessionRow):
                backup.append(entry.to_json())
        """
        with operation_context("scan"):
            if row_type not in ROW_TYPES:
                raise InvalidArgumentError("row_type must be one of the row types, such as SessionRow")
            if row_type is TraceRow or not row_type.KEY:
                return _rows(
                    self._iterate("scan", row_type, None, None, after=None, reverse=False, page_size=page_size)
                )
            validate_page(low=1, page_size=page_size)
            tenant = self.current_tenant()
        first = ListByKey(operation="scan", tenant=tenant, row_type=row_type, prefix={}, limit=page_size)
        return _by_key(self._iteration_backend(), first, page_size)


async def _rows(entries: AsyncGenerator[Recorded[R]]) -> AsyncGenerator[R]:
    async for recorded in entries:
        yield recorded.row


async def _by_key(backend: BackendBase, page: ListByKey[R], page_size: int) -> AsyncGenerator[R]:
    """Yield pages in key order.

    After a full page, the next one continues within the prefix of its last key. A page that is not full is the last one
    of its prefix; the next one begins with the prefix that follows.
    """
    names, key, level = page.row_type.KEY, list[Any](), 0
    while level >= 0:
        found = await backend.execute(page)
        for row in found:
            yield row
        if found:
            key = [getattr(found[-1], name) for name in names]
        level = len(names) - 1 if len(found) == page_size else level - 1
        if level >= 0:
            prefix = dict(zip(names[:level], key[:level], strict=True))
            page = replace(page, prefix=prefix, bounds={"above": key[level]})
