"""Compares the audit log with its seals, and the seals with those that were kept elsewhere."""

from collections.abc import Iterable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from uuid import UUID

from axon_storage.audit.comparison import REMOVED, Comparison, Differences
from axon_storage.audit.encoding import digests_of, hash_of
from axon_storage.audit.entries import Entries, entry_pages
from axon_storage.audit.results import AuditVerifyResult, KeptSeal, TenantVerifyResult
from axon_storage.audit.signing import is_signed, public_key
from axon_storage.audit.storages import given_tenants, pruned_before, seal_pages, sealed_tenants
from axon_storage.backend import StorageBackend
from axon_storage.engine.url import hidden
from axon_storage.errors import InvalidArgumentError
from axon_storage.model.ids import EPOCH, first_id, timestamp_of
from axon_storage.model.rows import AuditRow
from axon_storage.model.seals import CountSeals, ReadSealState, Seal, SealState
from axon_storage.model.validation import validate_time
from axon_storage.repository import SqlRepository
from axon_storage.transfer.results import ProgressCallback, Tally
from axon_storage.transfer.storages import opened

SEAL_CHANGED, SEAL_REMOVED = "seal changed", "seal removed"
NOT_AS_KEPT, WRONG_SIGNATURE = "seal not as kept", "wrong signature"

_VERIFY = "verify"
_SHOWN = 40


async def verify(
    storage: StorageBackend | str,
    *,
    tenants: Iterable[str] | None = None,
    seals: Iterable[KeptSeal] = (),
    retained_since: datetime | None = None,
    verification_key: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> AuditVerifyResult:
    """Compare the audit entries with their seals, in bounded memory, and name each entry that differs.

    ``storage``, ``tenants``, ``progress``: as for :func:`seal`. ``seals``: those that were kept elsewhere, of any
    number of runs. Without them, a change by somebody who also computes the seals anew is not found.
    ``retained_since``: entries from this time on cannot have been pruned, whatever the database records.
    ``verification_key``: the file of the Ed25519 public key in PEM that each signature of ``seals`` must match; it
    needs the extra ``signing``.

    Entries that are not sealed yet are not compared. Sealed entries that were pruned, as the database or a later seal
    records it, are no difference; the result says up to when. A tenant in ``tenants`` without seals in the table or in
    ``seals`` raises an :class:`axon_storage.InvalidArgumentError`::

        with open("seals.jsonl") as file:
            result = await verify("sqlite:///agents.db", seals=KeptSeal.read(file))
        for difference in result.differences:
            print(difference.tenant, difference.kind, difference.id)
    """
    storage = hidden(storage)
    kept = list(seals)
    if retained_since is not None:
        validate_time(retained_since=retained_since)
    if verification_key is not None and not kept:
        raise InvalidArgumentError("verification_key: there are no seals whose signatures it checks; pass seals")
    key = None if verification_key is None else public_key(verification_key)
    tally, results = Tally(progress), list[TenantVerifyResult]()
    async with opened("storage", storage, migrate=False) as side:
        for tenant in await _tenants(given_tenants(tenants, side), side.repository, kept):
            of_tenant = [seal for seal in kept if seal.tenant == tenant]
            run = _Run(side.repository, tenant, of_tenant, retained_since, tally)
            for seal in of_tenant:
                if key is not None and not is_signed(key, seal):
                    run.differences.add_seal(WRONG_SIGNATURE, seal.number)
            results.append(await run.verify())
    return AuditVerifyResult(tenants=tuple(results))


async def _tenants(given: list[str] | None, repository: SqlRepository, kept: list[KeptSeal]) -> list[str]:
    of_kept = {seal.tenant for seal in kept}
    if given is None:
        return sorted({*await sealed_tenants(_VERIFY, repository), *of_kept})
    for tenant in given:
        # not a list of all tenants, which an account that row-level security binds cannot read
        if tenant not in of_kept and not await repository.execute(CountSeals(operation=_VERIFY, tenant=tenant)):
            raise InvalidArgumentError(f"tenants: there are no seals of tenant {tenant[:_SHOWN]!r}; seal it first")
    return given


class _Run:
    """Verifies one tenant: reads its seals and its entries once, in order."""

    def __init__(
        self,
        repository: SqlRepository,
        tenant: str,
        kept: list[KeptSeal],
        retained_since: datetime | None,
        tally: Tally,
    ) -> None:
        self.differences = Differences(tenant)
        self._repository, self._tenant, self._tally = repository, tenant, tally
        self._kept: dict[int, set[str]] = {}
        for each in kept:
            self._kept.setdefault(each.number, set()).add(each.hash)
        self._retained_since = retained_since
        self._state = SealState(None, None, EPOCH)
        self._pruned_end = b""
        self._last: Seal | None = None
        self._position: UUID | None = None  # up to which entries were read
        self._last_is_valid = True
        self._seals = self._compared = self._pruned = self._unknown = 0

    async def verify(self) -> TenantVerifyResult:
        """Compare seals and entries."""
        await self._read_state()
        end = 0 if self._state.last is None else self._state.last.number
        async for page in seal_pages(_VERIFY, self._repository, self._tenant):
            # Entries are read after the digests, because a run deletes digests after a prune run has deleted entries.
            after = () if self._position is None else (UUID(int=self._position.int - 1),)
            async with aclosing(entry_pages(_VERIFY, self._repository, self._tenant, after)) as found:
                entries = Entries(found)
                for seal in page:
                    if seal.number <= end:  # others were added meanwhile, and can cover entries that are not read
                        await self._compare(seal, entries)
        last = 0 if self._last is None else self._last.number
        self._add_removed_seals(number for number in self._kept if number > last)
        return TenantVerifyResult(
            tenant=self._tenant,
            seals=self._seals,
            until=None if self._last is None else timestamp_of(self._last.end_id),
            entries=self._compared,
            pruned=self._pruned,
            pruned_before=pruned_before(self._state),
            unknown=self._unknown,
            differences=tuple(self.differences.first),
            difference_count=self.differences.count,
        )

    def _compare_kept(self, seal: Seal) -> None:
        if self._kept.get(seal.number, {seal.seal_hash}) != {seal.seal_hash}:
            self.differences.add_seal(NOT_AS_KEPT, seal.number)

    def _is_valid(self, seal: Seal) -> bool:
        """Return whether a seal has its hash; add a difference if it has not, or does not follow the last one."""
        number = 0 if self._last is None else self._last.number
        if seal.number > number + 1:
            self._add_removed_seals({number + 1, *(each for each in self._kept if number < each < seal.number)})
        if hash_of(seal) != seal.seal_hash:
            self.differences.add_seal(SEAL_CHANGED, seal.number)
            return False
        if seal.number == number + 1 and not self._follows(seal):
            # this seal is whole, and has the hash that the one before had
            self.differences.add_seal(SEAL_CHANGED, max(number, 1))
        return True

    def _follows(self, seal: Seal) -> bool:
        last = self._last
        if last is None:
            return not seal.previous_hash and not seal.first_id.int
        if not self._last_is_valid:  # there is a difference for it already
            return True
        return seal.previous_hash == last.seal_hash and seal.first_id.int == last.end_id.int

    async def _compare(self, seal: Seal, entries: Entries) -> None:
        """Compare a seal, and its entries if it still has the digests that were sealed."""
        self._compare_kept(seal)
        is_valid = self._is_valid(seal)
        if is_valid:
            await self._compare_entries(seal, entries)
            self._position = seal.end_id
        self._last, self._last_is_valid, self._seals = seal, is_valid, self._seals + 1

    async def _compare_entries(self, seal: Seal, entries: Entries) -> None:
        async for part in entries.below(seal.first_id):  # after a seal that was removed or changed
            self._unknown += len(part)
        expected = await self._expected(seal)
        if expected is None:
            async for part in entries.below(seal.end_id):
                self._unknown += len(part)
            return
        comparison = Comparison(expected, self.differences)
        async for part in entries.below(seal.end_id):
            comparison.add(part)
            self._tally.add(AuditRow.TABLE, self._tenant, len(part), 0)
        self._compared += comparison.compared
        await self._add(comparison.finish())

    async def _expected(self, seal: Seal) -> dict[bytes, bytes] | None:
        without_digests = seal.entries > 0 and not seal.digests
        if without_digests and seal.end_id.bytes > self._pruned_end:
            await self._read_state()  # a prune run, and one that seals, may have begun
        if without_digests and seal.end_id.bytes <= self._pruned_end:
            self._pruned += seal.entries
            return {}
        expected = digests_of(seal)
        if expected is None:
            self.differences.add_seal(SEAL_CHANGED, seal.number)
        return expected

    async def _add(self, found: list[tuple[bytes, str]]) -> None:
        """Add the differences of the entries of a seal, without those that were pruned."""
        if any(kind == REMOVED and row_id >= self._pruned_end for row_id, kind in found):
            await self._read_state()  # a prune run may have begun, which records it first
        for row_id, kind in found:
            if kind == REMOVED and row_id < self._pruned_end:
                self._pruned += 1
            else:
                self.differences.add_entry(kind, row_id)

    async def _read_state(self) -> None:
        self._state = await self._repository.execute(ReadSealState(operation=_VERIFY, tenant=self._tenant))
        if (before := pruned_before(self._state)) is not None:
            self._pruned_end = first_id(min(before, self._retained_since or before)).bytes

    def _add_removed_seals(self, numbers: Iterable[int]) -> None:
        for number in sorted(numbers):
            self.differences.add_seal(SEAL_REMOVED, number)
