"""The memory of seals and comparisons is bounded by their pages."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from axon_storage import AuditRow, QueryError, SqlRepository
from axon_storage.audit import seal, verify
from axon_storage.testing.pruning import OLD
from axon_storage.testing.samples import sample
from tests.peak import peak
from tests.pruning import clock_at


@pytest.fixture
def target() -> str:
    return "sqlite"


@pytest.fixture(autouse=True)
def _small_seals() -> None:
    """A seal has its usual number of entries."""


async def _append(past: SqlRepository, count: int) -> None:
    for _ in range(0, count, 1_000):
        await past.save_many(sample(AuditRow, detail="x" * 500) for _ in range(1_000))


async def test_the_memory_does_not_grow_with_the_entries(url: str, past: SqlRepository) -> None:
    await _append(past, 3_000)
    few = [await peak(seal, url), await peak(verify, url)]
    later = SqlRepository(past.engine, clock=clock_at(OLD + timedelta(days=1)))
    await later.for_tenant("default").erase_tenant()
    await _append(later, 12_000)
    many = [await peak(seal, url), await peak(verify, url)]  # 5 MB more of details
    assert all(late < early + 3 for early, late in zip(few, many, strict=True)), (few, many)
    assert (await verify(url)).tenants[0].entries == 12_000


async def test_all_differences_are_counted_and_the_first_1000_are_named(
    repository: SqlRepository, past: SqlRepository
) -> None:
    await _append(past, 5_000)
    await seal(repository)
    async with repository.engine.begin() as connection:
        await connection.execute(text("UPDATE audit_log SET actor = 'forged'"))
        await connection.execute(text("DELETE FROM audit_log WHERE rowid > 3000"))
    [tenant] = (await verify(repository)).tenants
    assert (len(tenant.differences), tenant.difference_count) == (1_000, 5_000)
    assert {difference.kind for difference in tenant.differences} == {"changed"}


@pytest.mark.parametrize("column", ["timestamp_utc", "id"])
async def test_a_value_that_cannot_be_decoded_is_an_error_that_does_not_show_it(
    repository: SqlRepository, past: SqlRepository, column: str
) -> None:
    await _append(past, 3_000)
    await seal(repository)
    async with repository.engine.begin() as connection:
        await connection.execute(text(f"UPDATE audit_log SET {column} = 'garbage' WHERE rowid = 2500"))
    with pytest.raises(QueryError, match="one of the audit entries after ") as refused:
        await verify(repository)
    assert "garbage" not in str(refused.value)
