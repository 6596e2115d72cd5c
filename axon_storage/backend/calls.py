"""RequestMethods: converts the arguments of public methods into requests."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from axon_storage.backend.base import BackendBase
from axon_storage.backend.follow import Follower, follow
from axon_storage.model.ids import check_id
from axon_storage.model.requests import (
    Append,
    Delete,
    DeleteRange,
    Get,
    ListByKey,
    ListByKeys,
    ListNewest,
    ListPage,
    ListRecentIds,
    Save,
    Summarize,
)
from axon_storage.model.rows import Recorded, Row, check_values
from axon_storage.model.summaries import Summary, check_groups
from axon_storage.model.validation import (
    check_interval,
    id_range,
    operation_context,
    page_range,
    refuse_shared_ids,
    validate_bounds,
    validate_fields,
    validate_flags,
    validate_limit,
    validate_page,
    validate_row,
)

PAGE_SIZE = 500
"""The default number of rows that an iterator reads at a time."""

T = TypeVar("T")
R = TypeVar("R", bound=Row)
S = TypeVar("S", bound=Summary)


class RequestMethods(BackendBase):
    """One method for each kind of request: it validates the arguments, and executes the request."""

    async def _save(
        self,
        operation: str,
        row_type: type[Row],
        rows: Iterable[Row | Recorded[Any]],
        *,
        keep_existing: bool = False,
    ) -> None:
        with operation_context(operation):
            validate_flags(keep_existing=keep_existing)
            tenant = self.current_tenant()
            checked = [validate_row(row, row_type, tenant) for row in rows]
            refuse_shared_ids(checked)
        if checked:
            await self.execute(Save(operation=operation, tenant=tenant, rows=checked, keep_existing=keep_existing))

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

    async def _list_range(
        self,
        operation: str,
        row_type: type[R],
        *prefix: Any,
        start: Any,
        end: Any,
        limit: int | None,
        reverse: bool,
    ) -> list[R]:
        with operation_context(operation):
            fields = validate_fields(row_type, dict(zip(row_type.KEY, prefix, strict=False)))
            bounds = validate_bounds(row_type, row_type.KEY[len(prefix)], start=start, end=end)
            validate_limit(limit)
            validate_flags(reverse=reverse)
            tenant = self.current_tenant()
        return await self.execute(
            ListByKey(
                operation=operation,
                tenant=tenant,
                row_type=row_type,
                prefix=fields,
                bounds=bounds,
                limit=limit,
                reverse=reverse,
            )
        )

    async def _list_keys(
        self, operation: str, row_type: type[R], *prefix: Any, last: Iterable[Any], reverse: bool
    ) -> list[R]:
        with operation_context(operation):
            fields = validate_fields(row_type, dict(zip(row_type.KEY, prefix, strict=False)))
            keys = check_values(row_type, row_type.KEY[-1], last)
            validate_flags(reverse=reverse)
            tenant = self.current_tenant()
        if not keys:
            return []
        return await self.execute(
            ListByKeys(operation=operation, tenant=tenant, row_type=row_type, prefix=fields, last=keys, reverse=reverse)
        )

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
        *,
        after: UUID | None,
        reverse: bool,
        page_size: int,
        **where: Any,
    ) -> AsyncGenerator[Recorded[R], None]:
        with operation_context(operation):
            validate_page(low=1, page_size=page_size)
            lower, upper = page_range(since, until, after, reverse=reverse)
            fields = validate_fields(row_type, {name: value for name, value in where.items() if value is not None})
            tenant = self.current_tenant()
        first = ListPage(
            operation=operation,
            tenant=tenant,
            row_type=row_type,
            where=fields,
            after=lower,
            before=upper,
            limit=page_size,
            reverse=reverse,
        )
        return _pages(self._iteration_backend(), first)

    def _follow(
        self, operation: str, row_type: type[R], after: UUID | None, poll: float, seconds: float, **where: Any
    ) -> AsyncGenerator[Recorded[R], None]:
        with operation_context(operation):
            check_interval(poll, "poll")
            if after is not None:
                check_id(after, "after", "pass the id of a row")
            fields = validate_fields(row_type, {name: value for name, value in where.items() if value is not None})
            tenant = self.current_tenant()
        first, last = id_range(None, None)
        page = ListPage(
            operation=operation,
            tenant=tenant,
            row_type=row_type,
            where=fields,
            after=first,
            before=last,
            limit=PAGE_SIZE,
        )
        recent = ListRecentIds(
            operation=operation,
            tenant=tenant,
            row_type=row_type,
            where=fields,
            after=None,
            before=last,
            seconds=seconds,
        )
        return follow(Follower(self._iteration_backend(), page, recent), after, poll)

    async def _summarize(
        self,
        operation: str,
        summary_type: type[S],
        by: str | Sequence[str],
        since: datetime | None,
        until: datetime | None,
        **where: Any,
    ) -> list[S]:
        with operation_context(operation):
            groups = check_groups(summary_type, by)
            after, before = id_range(since, until)
            given = {name: value for name, value in where.items() if value is not None}
            fields = validate_fields(summary_type.ROW, given)
            tenant = self.current_tenant()
        return await self.execute(
            Summarize(
                operation=operation,
                tenant=tenant,
                summary_type=summary_type,
                by=groups,
                where=fields,
                after=after,
                before=before,
            )
        )

    async def _delete(self, operation: str, row_type: type[Row], *prefix: Any, last: Iterable[Any]) -> int:
        with operation_context(operation):
            fields = validate_fields(row_type, dict(zip(row_type.KEY, prefix, strict=False)))
            keys = check_values(row_type, row_type.KEY[-1], last)
            tenant = self.current_tenant()
        return await self.execute(
            Delete(operation=operation, tenant=tenant, row_type=row_type, prefix=fields, last=keys)
        )

    async def _delete_range(self, operation: str, row_type: type[Row], *prefix: Any, start: Any, end: Any) -> int:
        with operation_context(operation):
            fields = validate_fields(row_type, dict(zip(row_type.KEY, prefix, strict=False)))
            bounds = validate_bounds(row_type, row_type.KEY[len(prefix)], start=start, end=end)
            tenant = self.current_tenant()
        return await self.execute(
            DeleteRange(operation=operation, tenant=tenant, row_type=row_type, prefix=fields, bounds=bounds)
        )


async def _pages(backend: BackendBase, page: ListPage[R]) -> AsyncGenerator[Recorded[R], None]:
    while True:
        found = await backend.execute(page)
        for recorded in found:
            yield recorded
        if len(found) < page.limit:
            return
        last = found[-1].id
        page = replace(page, before=last) if page.reverse else replace(page, after=last)
