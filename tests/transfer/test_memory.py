"""The memory of a transfer is bounded by its pages."""

from pathlib import Path

from axon_storage import SessionRow, SqlRepository
from axon_storage.testing.samples import sample
from axon_storage.transfer import copy, export, import_, verify
from tests.peak import peak


async def _peaks(source: SqlRepository, target: SqlRepository, folder: Path) -> list[float]:
    file = folder / "rows.jsonl"
    from_, to = (repository.engine.url.render_as_string(hide_password=False) for repository in (source, target))
    return [
        await peak(copy, from_, to),
        await peak(verify, from_, to),
        await peak(export, from_, file),
        await peak(import_, to, file),
    ]


async def test_the_memory_does_not_grow_with_the_rows(
    other: SqlRepository, empty: SqlRepository, tmp_path: Path
) -> None:
    await other.save_many(sample(SessionRow, key=str(number), value="x" * 4_000) for number in range(1_000))
    few = await _peaks(other, empty, tmp_path)
    await other.save_many(sample(SessionRow, key=str(number), value="x" * 4_000) for number in range(1_000, 4_000))
    many = await _peaks(other, empty, tmp_path)  # 12 MB more
    assert all(late < early + 4 for early, late in zip(few, many, strict=True)), (few, many)


async def test_a_page_of_large_rows_is_bounded_by_its_bytes(
    other: SqlRepository, empty: SqlRepository, tmp_path: Path
) -> None:
    for number in range(20):  # 60 MB, which would be one page of rows
        await other.save_session(sample(SessionRow, key=str(number), value="x" * 3 * 10**6))
    assert max(await _peaks(other, empty, tmp_path)) < 50
