"""Reads the audit entries of a tenant in the order of their ids."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

from axon_storage.audit.encoding import DETAIL, ID
from axon_storage.encryption.envelope import is_envelope
from axon_storage.encryption.rows import envelope_of
from axon_storage.errors import EncryptionError, QueryError, SerializationError
from axon_storage.model.requests import TablePage
from axon_storage.model.rows import AuditRow
from axon_storage.repository import SqlRepository
from axon_storage.transfer.pages import pages

Rows = Sequence[tuple[Any, ...]]


async def entry_pages(
    operation: str, repository: SqlRepository, tenant: str, after: tuple[Any, ...] = ()
) -> AsyncGenerator[TablePage, None]:
    """Yield pages of entries as :func:`pages` does. A value that cannot be decoded raises a QueryError without it.

    What is hashed is not encrypted, so that seals stay valid when keys are rotated.
    """
    last = "the start"
    async with aclosing(pages(operation, repository, tenant, AuditRow, after)) as found:
        while True:
            try:
                page = await anext(found, None)
            except SerializationError:  # only SQLite stores a text that is no timestamp or id
                message = f"one of the audit entries after {last} has an id or a timestamp that no release has stored"
                raise QueryError(message, operation=operation) from None
            if page is None:
                return
            if repository.encryption is None and any(
                is_envelope(envelope_of(row[DETAIL], is_json=True)) for row in page.rows
            ):
                message = "audit_log.detail is encrypted: open the storage with its keyring, or give --keyring"
                raise EncryptionError(message, operation=operation, code="value_encrypted")
            last = str(page.rows[-1][ID])
            yield page


def _has_envelope(page: TablePage) -> bool:
    return any(is_envelope(envelope_of(row[DETAIL], is_json=True)) for row in page.rows)


class Entries:
    """The entries of pages that are read once, in order. Memory holds one page, and the next one that is being read."""

    def __init__(self, found: AsyncGenerator[TablePage, None]) -> None:
        self._pages = found
        self._rows: Rows = ()
        self._at_end = False

    async def below(self, end: UUID) -> AsyncGenerator[Rows, None]:
        """Yield the next entries whose ids are below ``end``, in parts that are not empty."""
        while True:
            count = next((number for number, row in enumerate(self._rows) if row[ID].int >= end.int), len(self._rows))
            part, self._rows = self._rows[:count], self._rows[count:]
            if part:
                yield part
            if self._rows or self._at_end:
                return
            page = await anext(self._pages, None)
            self._at_end, self._rows = page is None, () if page is None else page.rows
