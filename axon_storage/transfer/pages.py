"""Reads the rows of a tenant in a table page by page; the next page is read while the last one is in use."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from axon_storage.model.requests import ReadTablePage, TablePage
from axon_storage.model.rows import Row
from axon_storage.repository import SqlRepository
from axon_storage.sql.tables import TABLES
from axon_storage.sql.transfer import key_columns
from axon_storage.sql.writes import sort_key

PAGE_ROWS = 1_000
PAGE_BYTES = 2**20


async def pages(
    operation: str, repository: SqlRepository, tenant: str, row_type: type[Row], after: tuple[Any, ...] = ()
) -> AsyncGenerator[TablePage, None]:
    """Yield the pages of a tenant's rows in a table, in primary key order, without empty pages.

    ``after``: the primary key, without the tenant, that the first row follows; empty for all rows.

    Close the generator in any case (:func:`contextlib.aclosing`): a read may be in progress.
    """
    indexes = key_indexes(row_type)

    def read(after: tuple[Any, ...]) -> asyncio.Task[TablePage]:
        request = ReadTablePage(
            operation=operation,
            tenant=tenant,
            row_type=row_type,
            after=after,
            max_rows=PAGE_ROWS,
            max_bytes=PAGE_BYTES,
        )
        return asyncio.create_task(repository.execute(request))

    reading = read(after)
    try:
        while True:
            page = await reading
            if not page.is_last:
                reading = read(tuple(page.rows[-1][index] for index in indexes))
            if page.rows:
                yield page
            if page.is_last:
                return
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        if not reading.cancelled():
            reading.exception()  # asyncio logs an error that nobody retrieves


def key_indexes(row_type: type[Row]) -> list[int]:
    """Return the positions of the key columns, without the tenant, in a table's row."""
    names = TABLES[row_type].c.keys()
    return [names.index(name) for name in key_columns(row_type)]


def sortable_key(row: tuple[Any, ...], indexes: list[int]) -> tuple[Any, ...]:
    """Return the primary key of a table's row in a form that sorts as the databases do."""
    return tuple([sort_key(row[index]) for index in indexes])
