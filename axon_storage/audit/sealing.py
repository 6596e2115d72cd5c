"""Seals the audit entries that are older than 15 minutes."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from axon_storage.audit.encoding import ID, as_text, digest_of, hash_of, joined
from axon_storage.audit.entries import entry_pages
from axon_storage.audit.results import KeptSeal, SealResult
from axon_storage.audit.signing import private_key, sign
from axon_storage.audit.storages import given_tenants, pruned_before, sealed_tenants
from axon_storage.backend import StorageBackend
from axon_storage.engine.url import hidden
from axon_storage.errors import QueryError
from axon_storage.model.ids import first_id, timestamp_of
from axon_storage.model.requests import TablePage
from axon_storage.model.rows import AuditRow
from axon_storage.model.seals import AddSeal, ForgetDigests, ReadSealState, Seal, SealState
from axon_storage.repository import SqlRepository
from axon_storage.sql.pruning import REPEATABLE
from axon_storage.transfer.results import ProgressCallback, Tally
from axon_storage.transfer.storages import opened

SEALABLE = REPEATABLE
"""The age from which entries are sealed: then an append is no longer repeated, and its COMMIT has normally ended."""

_SEAL = "seal"


async def seal(
    storage: StorageBackend | str,
    *,
    tenants: Iterable[str] | None = None,
    signing_key: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> list[SealResult]:
    """Seal the audit entries that are older than 15 minutes and not sealed yet; return the last seal of each tenant.

    ``storage``: a storage, or a URL, which is opened for the call. ``tenants``: None means all, or the tenant of a
    view. A tenant without audit entries and seals is left out. ``signing_key``: the file of an Ed25519 private key in
    PEM, which signs the result; it needs the extra ``signing``. ``progress``: called after each page of entries, with a
    :class:`axon_storage.transfer.Progress`.

    The seals are stored in the table ``axon_storage_audit_seals``. Keep the result elsewhere::

        for result in await seal("sqlite:///agents.db", signing_key="key.pem"):
            print(result.seal.to_json(), file=kept)

    If the run is interrupted, the next one continues after the last seal that was stored. If two runs seal a tenant at
    the same time, one raises a transient :class:`axon_storage.QueryError`.
    """
    storage = hidden(storage)
    key = None if signing_key is None else private_key(signing_key)
    tally, results = Tally(progress), list[SealResult]()
    async with opened("storage", storage, migrate=False) as side:
        repository = side.repository
        names = given_tenants(tenants, side)
        if names is None:
            names = sorted({*await repository.tenant_ids(), *await sealed_tenants(_SEAL, repository)})
        for tenant in names:
            if (result := await _Run(repository, tenant, tally).seal()) is not None:
                results.append(result if key is None else _signed(result, key))
    return results


def _signed(result: SealResult, key: Any) -> SealResult:
    return replace(result, seal=replace(result.seal, signature=sign(key, result.seal)))


class _Run:
    """Seals the entries of one tenant: one seal for each page, the last one up to 15 minutes ago."""

    def __init__(self, repository: SqlRepository, tenant: str, tally: Tally) -> None:
        self._repository, self._tenant, self._tally = repository, tenant, tally

    async def seal(self) -> SealResult | None:
        """Append seals to the chain; return None if the tenant has neither entries nor seals."""
        state = await self._repository.execute(ReadSealState(operation=_SEAL, tenant=self._tenant))
        last, entries, end = state.last, 0, first_id(state.now - SEALABLE)
        if last is None or last.end_id.int < end.int:
            async for page, page_end in self._pages(None if last is None else last.end_id, end):
                if page or last is not None:
                    last = await self._add(page, page_end, last, state)
                    entries += len(page)
        pruned = pruned_before(state)
        if pruned is not None:
            await self._repository.execute(ForgetDigests(operation=_SEAL, tenant=self._tenant, before=pruned))
        return None if last is None else SealResult(seal=kept(last), entries=entries)

    async def _pages(self, start: UUID | None, end: UUID) -> AsyncIterator[tuple[list[tuple[Any, ...]], UUID]]:
        """Yield the entries of each seal, with the end of its ids."""
        after = () if start is None else (UUID(int=start.int - 1),)
        async with aclosing(entry_pages(_SEAL, self._repository, self._tenant, after)) as found:
            async for page in found:
                rows = [row for row in page.rows if row[ID].int < end.int]
                if page.is_last or len(rows) < len(page.rows):
                    yield rows, end
                    return
                self._count(page)
                yield rows, UUID(int=rows[-1][ID].int + 1)
        yield [], end

    def _count(self, page: TablePage) -> None:
        self._tally.add(AuditRow.TABLE, self._tenant, len(page.rows), page.size)

    async def _add(self, rows: list[tuple[Any, ...]], end: UUID, last: Seal | None, state: SealState) -> Seal:
        digests = joined([digest_of(row) for row in rows])
        new = Seal(
            tenant=self._tenant,
            number=1 if last is None else last.number + 1,
            first_id=UUID(int=0) if last is None else last.end_id,
            end_id=end,
            entries=len(rows),
            pruned_before=pruned_before(state),
            sealed_at=state.now,
            previous_hash="" if last is None else last.seal_hash,
            digests_hash=sha256(digests).hexdigest(),
            seal_hash="",
            digests=as_text(digests),
        )
        new = replace(new, seal_hash=hash_of(new))
        if not await self._repository.execute(AddSeal(operation=_SEAL, tenant=self._tenant, seal=new)):
            message = "another run has sealed entries of this tenant at the same time: run it again"
            raise QueryError(message, operation=_SEAL, transient=True)
        return new


def kept(seal: Seal) -> KeptSeal:
    """Return what is kept elsewhere of a seal."""
    return KeptSeal(
        tenant=seal.tenant,
        number=seal.number,
        until=timestamp_of(seal.end_id),
        sealed_at=seal.sealed_at,
        hash=seal.seal_hash,
    )
