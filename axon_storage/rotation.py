"""Key rotation: encrypts documents with the active key, and counts the documents of each key."""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from axon_storage.backend import StorageBackend
from axon_storage.encryption import Keyring
from axon_storage.encryption.columns import document_columns
from axon_storage.encryption.envelope import Label
from axon_storage.encryption.rows import stored_label
from axon_storage.errors import EncryptionError, InvalidArgumentError
from axon_storage.model.encrypted import ReadStarts, ReencryptRows, StartPage, StartRow
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.transfer.results import ProgressCallback, Tally
from axon_storage.transfer.storages import Side, opened, tenants_of

PAGE_ROWS = 1_000
STEP_ROWS = 50
"""The most rows that are locked at the same time."""
STEP_BYTES = 2**20

_ROTATE, _STATUS = "rotate", "key_status"
_DAMAGED = "value_not_authentic"


@dataclass(frozen=True, slots=True)
class KeyUse:
    """The documents of a table that have the same key.

    ``key_id``: None for documents that are not encrypted. ``tenant_secret``: the secrets of tenants are needed too.
    ``is_active``: new documents have this key.
    """

    table: str
    key_id: str | None
    tenant_secret: bool
    is_active: bool
    documents: int


async def rotate(
    storage: StorageBackend,
    *,
    tenants: Iterable[str] | None = None,
    from_plaintext: bool = False,
    progress: ProgressCallback | None = None,
) -> int:
    """Encrypt every document with the active key, and return the number of rows that were changed.

    ``storage``: was opened with ``encryption``. ``tenants``: None means all, or the tenant of a view.
    ``from_plaintext``: also encrypt documents that are not encrypted; otherwise they raise an EncryptionError.
    ``progress``: called after each page of rows, with a :class:`axon_storage.transfer.Progress`.

    A document that is not authentic stays as it is. When all others have the active key, it raises an EncryptionError
    with the number of such rows and the place of the first one.

    The storage may be in use: a row is locked, read and written in one transaction with at most 50 others, so that no
    write is lost. If the run is interrupted, run it again: rows that have the active key are left. Rows that a process
    with an older keyring writes in the meantime may keep the older key: :func:`key_status` shows it.
    """
    async with opened("storage", storage) as side:
        rotation = _Rotation(side, Tally(progress), from_plaintext=from_plaintext)
        for tenant in await tenants_of(tenants, [side], [side]):
            for row_type in ROW_TYPES:
                await rotation.rotate_table(tenant, row_type)
    if rotation.damaged:
        raise rotation.error()
    return rotation.changed


async def key_status(storage: StorageBackend, *, tenants: Iterable[str] | None = None) -> list[KeyUse]:
    """Count the documents of each key and table, with those that are not encrypted. No document is decrypted.

    ``storage``: was opened with ``encryption``; its columns are counted. ``tenants``: None means all, or that of a
    view.
    """
    counts = Counter[tuple[str, Label | None]]()
    async with opened("storage", storage) as side:
        keyring = _keyring_of(side)
        for tenant in await tenants_of(tenants, [side], [side]):
            for row_type in ROW_TYPES:
                async with aclosing(_pages(_STATUS, side, tenant, row_type)) as found:
                    async for page in found:
                        labels = [label for row in page for label in _labels(keyring, row_type, row)]
                        counts.update((row_type.TABLE, label) for label in labels)
    return [_use(keyring, table, label, count) for (table, label), count in sorted(counts.items(), key=str)]


async def require_unused(storage: StorageBackend, key_id: str) -> None:
    """Raise an EncryptionError if a document needs a key. Then it must not be retired."""
    uses = await key_status(storage)
    count = sum(use.documents for use in uses if use.key_id == key_id)
    if count:
        message = f"key {key_id!r} is needed by {count:,} documents: run `axon-storage keys rotate` first"
        raise EncryptionError(message, code="key_in_use")


class _Rotation:
    """A run of :func:`rotate`. ``changed``: how many rows were. ``damaged``: the errors of those that cannot be."""

    def __init__(self, side: Side, tally: Tally, *, from_plaintext: bool) -> None:
        self._side, self._tally, self._from_plaintext = side, tally, from_plaintext
        self._keyring = _keyring_of(side)
        self.changed, self.damaged = 0, list[EncryptionError]()

    async def rotate_table(self, tenant: str, row_type: type[Row]) -> None:
        """Encrypt the documents of a tenant's rows again that do not have the active key."""
        async with aclosing(_pages(_ROTATE, self._side, tenant, row_type)) as found:
            async for page in found:
                for keys in _steps([row for row in page if _is_outdated(self._keyring, row_type, row)]):
                    await self._reencrypt(tenant, row_type, keys)
                self._tally.add(row_type.TABLE, tenant, len(page), sum(row.size for row in page))

    async def _reencrypt(self, tenant: str, row_type: type[Row], keys: Sequence[tuple[Any, ...]]) -> None:
        step = ReencryptRows(
            operation=_ROTATE, tenant=tenant, row_type=row_type, keys=keys, from_plaintext=self._from_plaintext
        )
        try:
            self.changed += await self._side.repository.execute(step)
        except EncryptionError as error:
            if error.code != _DAMAGED:
                raise
            if len(keys) == 1:
                self.damaged.append(error)
                return
            for key in keys:  # nothing of the step was committed
                await self._reencrypt(tenant, row_type, [key])

    def error(self) -> EncryptionError:
        """Return the error at the end of a run with damaged documents."""
        message = f"{self.changed:,} rows were changed, and {len(self.damaged):,} were not, because they are damaged"
        return EncryptionError(f"{message}; the first is {self.damaged[0].message}", operation=_ROTATE, code=_DAMAGED)


async def _pages(
    operation: str, side: Side, tenant: str, row_type: type[Row]
) -> AsyncGenerator[Sequence[StartRow], None]:
    page, after = StartPage([], is_last=not document_columns(row_type)), tuple[Any, ...]()
    while not page.is_last:
        request = ReadStarts(operation=operation, tenant=tenant, row_type=row_type, after=after, max_rows=PAGE_ROWS)
        page = await side.repository.execute(request)
        if page.rows:
            after = page.rows[-1].key
            yield page.rows


def _steps(rows: Sequence[StartRow]) -> Iterator[list[tuple[Any, ...]]]:
    """Split rows into those of one transaction."""
    keys, size = list[tuple[Any, ...]](), 0
    for row in rows:
        if keys and (len(keys) == STEP_ROWS or size + row.size > STEP_BYTES):
            yield keys
            keys, size = [], 0
        keys.append(row.key)
        size += row.size
    if keys:
        yield keys


def _labels(keyring: Keyring, row_type: type[Row], row: StartRow) -> list[Label | None]:
    """Return the labels of the documents that are encrypted, and None for each one that should be."""
    columns = document_columns(row_type)
    labels = [stored_label(start, is_json=each.is_json) for each, start in zip(columns, row.starts, strict=True)]
    named = [f"{row_type.TABLE}.{each.name}" in keyring.columns for each in columns]
    return [label for label, is_named in zip(labels, named, strict=True) if is_named or label is not None]


def _is_outdated(keyring: Keyring, row_type: type[Row], row: StartRow) -> bool:
    return any(label != keyring.active_label for label in _labels(keyring, row_type, row))


def _use(keyring: Keyring, table: str, label: Label | None, count: int) -> KeyUse:
    if label is None:
        return KeyUse(table, None, tenant_secret=False, is_active=False, documents=count)
    return KeyUse(table, label.key_id, label.derivation == "t", label == keyring.active_label, count)


def _keyring_of(side: Side) -> Keyring:
    if (keyring := side.repository.encryption) is None:
        raise InvalidArgumentError("storage: it was opened without a keyring; open it with encryption=")
    return keyring
