"""PostgreSQL's batches: cut into pieces that asyncpg sends without a wait in between."""

from typing import Any

import pytest

from axon_storage.dialects.postgresql import PostgreSQL

LIMIT = 4 * 32 * 1024
"""What asyncpg gathers before it waits: four buffers of 32 KiB."""


class Cursor:
    """Notes the batches it is given."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[Any, ...]]] = []

    def executemany(self, _statement: str, rows: list[tuple[Any, ...]]) -> None:
        self.batches.append(rows)


@pytest.mark.parametrize("length", [0, 10, 1000, 40_000, 200_000])
def test_no_batch_is_longer_than_asyncpg_sends_at_once(length: int) -> None:
    cursor, rows = Cursor(), [(number, "é" * length, None) for number in range(700)]
    assert PostgreSQL().executemany(cursor, "INSERT", rows)
    assert [row for batch in cursor.batches for row in batch] == rows
    for batch in cursor.batches:
        assert len(batch) == 1 or sum(len(text.encode()) + 150 for _, text, _ in batch) < LIMIT
    assert len(cursor.batches) < len(rows) or length >= 40_000
