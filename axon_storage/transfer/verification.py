"""Compares the rows of two databases."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from hashlib import blake2b
from typing import Any

import orjson

from axon_storage.backend import StorageBackend
from axon_storage.engine.url import hidden
from axon_storage.model.requests import TablePage
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.repository import SqlRepository
from axon_storage.sql.tables import TABLES
from axon_storage.sql.transfer import key_columns
from axon_storage.transfer.pages import key_indexes, pages, sortable_key
from axon_storage.transfer.results import Difference, ProgressCallback, TableComparison, Tally, VerifyResult
from axon_storage.transfer.storages import opened, refuse_same_database, tenants_of

MISSING_IN_TARGET = "missing in target"
ONLY_IN_TARGET = "only in target"
DIFFERS = "differs"

Pair = tuple[tuple[Any, ...] | None, tuple[Any, ...] | None]
"""The rows of the source and of the target with the same primary key; None on the side that has no such row."""

_VERIFY = "verify"
_DIGEST_BYTES = 32


async def verify(
    source: StorageBackend | str,
    target: StorageBackend | str,
    *,
    tenants: Iterable[str] | None = None,
    progress: ProgressCallback | None = None,
) -> VerifyResult:
    """Compare every value of every row of two databases, in bounded memory.

    The arguments are those of :func:`copy`; ``tenants=None`` means the tenants of both sides. The result has a digest
    for each tenant and table on each side. The digests are equal if and only if every value of every column is.
    It names the first row that differs by its key, and the columns, without their values::

        result = await verify("sqlite:///agents.db", "postgresql://ada@db.example/agents")
        if not result.is_equal:
            print(result.first_differences)
    """
    source, target = hidden(source), hidden(target)
    async with opened("source", source, migrate=False) as one, opened("target", target, migrate=False) as other:
        await refuse_same_database(one, other)
        tally, comparisons = Tally(progress), list[TableComparison]()
        for tenant in await tenants_of(tenants, (one, other), (one, other)):
            for row_type in ROW_TYPES:
                comparison = await _compare(tenant, row_type, one.repository, other.repository, tally)
                if comparison.source_rows or comparison.target_rows:
                    comparisons.append(comparison)
    return VerifyResult(comparisons=tuple(comparisons))


async def differences(
    operation: str, source: SqlRepository, target: SqlRepository, tenant: str, row_type: type[Row]
) -> AsyncGenerator[Difference, None]:
    """Yield a difference for each row of a tenant in a table that differs, in primary key order."""
    async with aclosing(differing_rows(operation, source, target, tenant, row_type)) as found:
        async for pair in found:
            yield _difference(tenant, row_type, *pair)


async def differing_rows(
    operation: str, source: SqlRepository, target: SqlRepository, tenant: str, row_type: type[Row]
) -> AsyncGenerator[Pair, None]:
    """Yield the row of each side, or None, for each row of a tenant in a table that differs, in primary key order."""
    left, right = (_Rows(each, tenant, row_type, operation) for each in (source, target))
    async with aclosing(left.pages), aclosing(right.pages):
        async for pair in _merge(tenant, row_type, left, right):
            yield pair


class _Rows:
    """The rows of one side, and the digest of those that were passed."""

    def __init__(self, repository: SqlRepository, tenant: str, row_type: type[Row], operation: str = _VERIFY) -> None:
        self.pages = pages(operation, repository, tenant, row_type)
        self.page = TablePage([], 0, is_last=True)
        self.count, self.at_end = 0, False
        self.digest = blake2b(digest_size=_DIGEST_BYTES)
        self._indexes = key_indexes(row_type)
        self._position, self._digests, self._keys = 0, list[bytes](), list[tuple[Any, ...]]()

    @property
    def needs_page(self) -> bool:
        """Whether all rows of the page were passed, and another page may follow."""
        return self._position == len(self._digests) and not self.at_end

    async def next_page(self) -> None:
        """Read the next page, if all rows of this one were passed."""
        if not self.needs_page:
            return
        page = await anext(self.pages, None)
        if page is None:
            self.at_end = True
            return
        self.page, self._digests = page, [_digest(row) for row in page.rows]
        self._keys, self._position = [sortable_key(row, self._indexes) for row in page.rows], 0
        self.count += len(page.rows)
        self.digest.update(b"".join(self._digests))

    @property
    def key(self) -> tuple[Any, ...]:
        """The primary key of the current row, in sortable form."""
        return self._keys[self._position]

    @property
    def row_digest(self) -> bytes:
        """The digest of the current row."""
        return self._digests[self._position]

    def take(self) -> tuple[Any, ...]:
        """Return the current row, and go to the next one."""
        self._position += 1
        return self.page.rows[self._position - 1]


async def _compare(
    tenant: str, row_type: type[Row], one: SqlRepository, other: SqlRepository, tally: Tally
) -> TableComparison:
    found, first = 0, None
    source, target = (_Rows(each, tenant, row_type) for each in (one, other))
    async with aclosing(source.pages), aclosing(target.pages):
        async for pair in _merge(tenant, row_type, source, target, tally):
            found, first = found + 1, first or _difference(tenant, row_type, *pair)
    return TableComparison(
        table=row_type.TABLE,
        tenant=tenant,
        source_rows=source.count,
        target_rows=target.count,
        source_digest=source.digest.hexdigest(),
        target_digest=target.digest.hexdigest(),
        differences=found,
        first=first,
    )


async def _merge(
    tenant: str, row_type: type[Row], source: _Rows, target: _Rows, tally: Tally | None = None
) -> AsyncGenerator[Pair, None]:
    """Go through the rows of both sides by key, and yield the differences."""
    while True:
        if source.needs_page or target.needs_page:
            before = source.count
            await source.next_page()
            await target.next_page()
            if tally is not None and source.count > before:
                tally.add(row_type.TABLE, tenant, source.count - before, source.page.size)
        if source.at_end and target.at_end:
            return
        if (pair := _next(source, target)) is not None:
            yield pair


def _next(source: _Rows, target: _Rows) -> Pair | None:
    """Take the next row of one side or of both; return it if it differs."""
    if target.at_end or (not source.at_end and source.key < target.key):
        return source.take(), None
    if source.at_end or target.key < source.key:
        return None, target.take()
    is_equal = source.row_digest == target.row_digest
    pair = source.take(), target.take()
    return None if is_equal else pair


def _difference(
    tenant: str, row_type: type[Row], row: tuple[Any, ...] | None, other: tuple[Any, ...] | None
) -> Difference:
    reason = MISSING_IN_TARGET if other is None else ONLY_IN_TARGET if row is None else DIFFERS
    names = TABLES[row_type].c.keys()
    key = {name: (row or other or ())[names.index(name)] for name in key_columns(row_type)}
    pairs = zip(names, row, other, strict=True) if row is not None and other is not None else ()
    columns = tuple(name for name, one, two in pairs if _digest([one]) != _digest([two]))
    return Difference(table=row_type.TABLE, tenant=tenant, key=key, reason=reason, columns=columns)


def _digest(values: Iterable[Any]) -> bytes:
    """Return the digest of a row. Each column has one type, so that different values have different JSON."""
    exact = [repr(value) if type(value) is float else value for value in values]  # orjson writes infinity as null
    # orjson does not know the UUIDs of asyncpg, which are a subclass
    return blake2b(orjson.dumps(exact, default=str), digest_size=_DIGEST_BYTES).digest()
