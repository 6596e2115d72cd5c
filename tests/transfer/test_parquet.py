"""Parquet files: every value, typed columns, bounded memory, and no file that is not complete."""

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from axon_storage import InvalidArgumentError, SessionRow, SqlRepository, TraceRow
from axon_storage.model.ids import timestamp_of
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.sql.transfer import key_columns, whole_table
from axon_storage.sql.types import RowId
from axon_storage.testing.samples import LARGEST, sample
from axon_storage.transfer import Progress, export_parquet
from tests.transfer.filling import TENANTS

MEBIBYTE = 2**20


async def _stored(repository: SqlRepository, row_type: type[Row]) -> list[dict[str, Any]]:
    """Return all rows of a table, in the order of an export."""
    table = whole_table(row_type)
    order = [table.c.tenant_id, *(table.c[name] for name in key_columns(row_type))]
    async with repository.engine.connect() as connection:
        found = [dict(row) for row in (await connection.execute(select(table).order_by(*order))).mappings()]
    for row in found:
        if row_type is TraceRow:
            row["timestamp_utc"] = timestamp_of(row["created_id"])
        row |= {column.name: str(row[column.name]) for column in table.c if isinstance(column.type, RowId)}
    return found


def _read(folder: Path, row_type: type[Row]) -> list[dict[str, Any]]:
    return list(pq.read_table(folder / f"{row_type.TABLE}.parquet").to_pylist())


def _exact(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return rows in a form in which 1, 1.0 and True differ, and the objects for UTC do not."""
    return [
        {name: value.isoformat() if isinstance(value, datetime) else repr(value) for name, value in row.items()}
        for row in rows
    ]


async def test_a_folder_of_parquet_files_has_every_value_of_every_row(filled: SqlRepository, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    result = await export_parquet(filled, folder)
    assert (result.rows > 5_000, result.tenants) == (True, len(TENANTS))
    assert sorted(os.listdir(folder)) == sorted(f"{row_type.TABLE}.parquet" for row_type in ROW_TYPES)  # noqa: PTH208
    for row_type in ROW_TYPES:
        rows = _read(folder, row_type)
        assert len(rows) == result.tables[row_type.TABLE]
        assert _exact(rows) == _exact(await _stored(filled, row_type))


async def test_a_server_is_exported_like_a_file(repository: SqlRepository, tmp_path: Path) -> None:
    await repository.save_trace(sample(TraceRow, trace_id=LARGEST))
    await repository.save_many(sample(row_type) for row_type in ROW_TYPES)
    await export_parquet(repository, tmp_path / "out", tenants=["default"])
    for row_type in ROW_TYPES:
        assert _exact(_read(tmp_path / "out", row_type)) == _exact(await _stored(repository, row_type))


async def test_the_columns_have_the_types_of_the_domain(other: SqlRepository, tmp_path: Path) -> None:
    await export_parquet(other, tmp_path / "out")  # without rows too

    def types(table: str) -> dict[str, str]:
        return {field.name: str(field.type) for field in pq.read_schema(tmp_path / "out" / f"{table}.parquet")}

    traces, costs, cache = types("traces"), types("cost_tracking"), types("execution_cache")
    assert (traces["trace_id"], traces["errors"], traces["events"]) == ("uint64", "uint32", "string")
    assert (traces["created_id"], traces["timestamp_utc"]) == ("string", "timestamp[us, tz=UTC]")
    assert (costs["cost_usd"], costs["timestamp_utc"], costs["id"]) == ("double", "timestamp[us, tz=UTC]", "string")
    assert (cache["ttl_secs"], cache["expires_at"]) == ("int32", "timestamp[us, tz=UTC]")
    assert types("schedules")["enabled"] == "bool"


async def test_the_memory_of_a_parquet_export_is_bounded(other: SqlRepository, tmp_path: Path) -> None:
    for number in range(30):  # 90 MB
        await other.save_session(sample(SessionRow, key=str(number), value=os.urandom(1_500_000).hex()))
    before, seen = pa.total_allocated_bytes(), list[int]()

    def note(_progress: Progress) -> None:
        seen.append(pa.total_allocated_bytes() - before)

    assert (await export_parquet(other, tmp_path / "out", progress=note)).rows == 30
    assert max(seen) < 50 * MEBIBYTE
    assert pq.read_metadata(tmp_path / "out" / "sessions.parquet").num_row_groups > 5


async def test_only_a_complete_folder_gets_its_name(other: SqlRepository, tmp_path: Path) -> None:
    await other.save_many(sample(row_type) for row_type in ROW_TYPES)
    out = tmp_path / "out"

    def stop(progress: Progress) -> None:
        if progress.table == ROW_TYPES[-1].TABLE:
            raise KeyError

    with pytest.raises(KeyError):
        await export_parquet(other, out, progress=stop)
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # not Path.iterdir, which ruff refuses in coroutines
    await export_parquet(other, out)
    assert (os.stat(out).st_mode & 0o777, os.stat(out / "traces.parquet").st_mode & 0o777) == (0o700, 0o600)  # noqa: PTH116
    with pytest.raises(InvalidArgumentError, match="folder: out exists"):
        await export_parquet(other, out)
    assert os.listdir(tmp_path) == ["out"]  # noqa: PTH208


async def test_without_pyarrow_the_error_names_the_extra(
    other: SqlRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InvalidArgumentError, match=r"axon-storage\[parquet\]"):
        await export_parquet(other, tmp_path / "out")
    assert os.listdir(tmp_path) == []  # noqa: PTH208
