"""Export files: round trips, and the refusal of files that are truncated, altered or foreign."""

import asyncio
import bz2
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from axon_storage import (
    AxonStoreRow,
    CostRow,
    InMemoryBackend,
    InvalidArgumentError,
    SerializationError,
    SessionRow,
    SqlRepository,
    StorageError,
    TenantMismatchError,
    TraceRow,
    schema,
)
from axon_storage.model.rows import ROW_TYPES
from axon_storage.testing.samples import sample
from axon_storage.transfer import export, import_, verify, writer
from tests.transfer.filling import TENANTS, everything

NAMES = ("rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst")


async def test_an_export_is_imported_exactly(
    filled: SqlRepository, repository: SqlRepository, other: SqlRepository, tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    written = await export(filled, file)
    assert await import_(repository, file) == written
    assert written.rows > 5_000
    assert written.tenants == len(TENANTS)
    assert (await verify(filled, repository)).is_equal
    again = tmp_path / "again.jsonl"
    await export(repository, again)
    assert file.read_bytes().split(b"\n")[1:-2] == again.read_bytes().split(b"\n")[1:-2]
    await import_(other, again)
    assert await everything(other) == await everything(filled)


@pytest.mark.parametrize("name", NAMES)
async def test_compressed_files_are_imported_exactly(
    filled: SqlRepository, other: SqlRepository, tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    await export(filled, str(file))
    plain = tmp_path / "plain.jsonl"
    await export(filled, plain)
    assert name == "rows.jsonl" or file.stat().st_size < plain.stat().st_size / 4
    await import_(other, str(file))
    assert (await verify(filled, other)).is_equal
    await import_(other, file)  # again: nothing changes
    assert (await verify(filled, other)).is_equal
    assert _names(tmp_path) == {name, "plain.jsonl"}


async def test_a_file_has_the_documented_lines(other: SqlRepository, tmp_path: Path) -> None:
    await other.save_many(sample(row_type) for row_type in ROW_TYPES)
    file = tmp_path / "rows.jsonl"
    await export(other, file)
    assert file.stat().st_mode & 0o777 == 0o600
    data = file.read_bytes()
    header, *rows, trailer = [json.loads(line) for line in data.splitlines()]
    assert (header["format"], header["version"], header["revision"]) == ("axon-storage-export", 1, schema.head())
    assert trailer["rows"] == {row_type.TABLE: 1 for row_type in ROW_TYPES}
    assert trailer["sha256"] == hashlib.sha256(data[: data.rindex(b"\n", 0, -1) + 1]).hexdigest()
    for row_type, row in zip(ROW_TYPES, rows, strict=True):
        assert (row["table"], row["tenant"]) == (row_type.TABLE, "default")
        fields = {"tenant_id": row["tenant"], **row["fields"]}
        assert row_type.from_json(orjson.dumps(fields)) == sample(row_type)
        assert ("id" in row) == (not row_type.KEY or row_type is TraceRow) == ("timestamp" in row)


async def test_an_export_without_rows_says_so(other: SqlRepository, empty: SqlRepository, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    assert (await export(other, file)).rows == 0
    assert (await import_(empty, file)).rows == 0
    assert set((await export(other, file)).tables) == {row_type.TABLE for row_type in ROW_TYPES}


async def test_a_view_exports_and_imports_its_tenant_only(
    filled: SqlRepository, other: SqlRepository, tmp_path: Path
) -> None:
    file, everyone = tmp_path / "z.jsonl", tmp_path / "all.jsonl"
    await export(filled.for_tenant("z"), file)
    await export(filled, everyone)
    with pytest.raises(TenantMismatchError, match="another tenant"):
        await import_(other.for_tenant("z"), everyone)
    assert await other.tenant_ids() == []
    await import_(other.for_tenant("z"), file)
    assert await other.tenant_ids() == ["z"]


def _names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def _changed(data: bytes, change: Callable[[list[Any]], None]) -> bytes:
    """Change the lines of a file, and write a trailer that fits."""
    lines = [json.loads(line) for line in data.splitlines()]
    change(lines)
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines[:-1])
    return body + orjson.dumps({**lines[-1], "sha256": hashlib.sha256(body).hexdigest()}) + b"\n"


def _set(data: bytes, where: tuple[int | str, ...], value: Any) -> bytes:
    """Replace one value of a file, and write a trailer that fits."""

    def change(lines: list[Any]) -> None:
        inner: Any = lines
        for step in where[:-1]:
            inner = inner[step]
        inner[where[-1]] = value

    return _changed(data, change)


REFUSED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "line 1: the file is truncated"),
    "foreign": (lambda _: b'{"rows": []}\n', "line 1: the first line is not the header"),
    "text": (lambda _: b"tenant,scope\n", "line 1: not JSON"),
    "a cut line": (lambda data: data[:-200], "the file is truncated"),
    "no last line": (lambda data: data[: data.rindex(b"\n", 0, -1) + 1], "the file is truncated"),
    "no last byte": (lambda data: data[:-1], "the file is truncated"),
    "a missing row": (lambda data: b"\n".join([*data.split(b"\n")[:2], *data.split(b"\n")[3:]]), "checksum"),
    "a value": (lambda data: data.replace(b'"value":"old"', b'"value":"new"', 1), "checksum"),
    "more data": (lambda data: data + b"{}\n", "data after the last line"),
    "newer": (lambda data: _set(data, (0, "version"), 2), "version 2 of the format"),
    "newer schema": (lambda data: _set(data, (0, "revision"), "9999"), "upgrade the package"),
    "an unknown table": (lambda data: _set(data, (1, "table"), "users"), "line 2: an unknown table"),
    "an unknown member": (lambda data: _set(data, (1, "extra"), 1), "'extra': unknown member"),
    "an unknown field": (lambda data: _set(data, (1, "fields", "extra"), 1), "'extra': unknown member"),
    "a wrong type": (lambda data: _set(data, (1, "fields", "value"), 1), "value: 1 is not a str"),
    "a timestamp": (lambda data: _set(data, (1, "updated_at"), "today"), "not in ISO 8601"),
    "a zone": (lambda data: _set(data, (1, "updated_at"), "2026-01-01T00:00:00"), "no time zone"),
    "a count": (lambda data: _set(data, (-1, "rows", "sessions"), 1), "row counts"),
    "the order": (lambda data: _changed(data, lambda lines: lines.insert(1, lines[2])), "in the order"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
async def test_a_file_that_is_not_whole_is_refused_and_nothing_is_stored(
    other: SqlRepository, empty: SqlRepository, tmp_path: Path, fault: str
) -> None:
    await other.save_many(sample(SessionRow, key=str(number), value="old") for number in range(2_000))
    file = tmp_path / "rows.jsonl"
    await export(other, file)
    change, message = REFUSED[fault]
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(InvalidArgumentError, match=message):
        await import_(empty, file)
    assert await empty.tenant_ids() == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
async def test_a_truncated_file_is_refused_whatever_its_compression(
    other: SqlRepository, empty: SqlRepository, tmp_path: Path, name: str, share: float
) -> None:
    await other.save_many(sample(SessionRow, key=str(number)) for number in range(5_000))
    file = tmp_path / name
    await export(other, file)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InvalidArgumentError, match=r"truncated|damaged"):
        await import_(empty, file)
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(InvalidArgumentError, match=r"^invalid argument: file: "):
        await import_(empty, file)
    assert await empty.tenant_ids() == []


async def test_a_pipe_is_read_once(other: SqlRepository, empty: SqlRepository, tmp_path: Path) -> None:
    await other.save_many(sample(SessionRow, key=str(number)) for number in range(3_000))
    file, pipe = tmp_path / "rows.jsonl", tmp_path / "pipe"
    await export(other, file)
    os.mkfifo(pipe)
    thread = threading.Thread(target=lambda: pipe.write_bytes(file.read_bytes()))
    thread.start()
    await import_(empty, pipe)
    thread.join()
    assert (await verify(other, empty)).is_equal
    with pytest.raises(InvalidArgumentError, match="exists and is not a file"):
        await export(other, pipe)


async def test_an_open_file_is_used_from_its_position_and_stays_open(
    other: SqlRepository, empty: SqlRepository, tmp_path: Path
) -> None:
    await other.save_many(sample(row_type) for row_type in ROW_TYPES)
    with (tmp_path / "archive").open("w+b") as file:
        file.write(b"before")
        written = await export(other, file)
        file.seek(len(b"before"))
        assert await import_(empty, file) == written
        assert not file.closed
    assert (await verify(other, empty)).is_equal


async def test_an_object_that_compresses_is_a_file(other: SqlRepository, empty: SqlRepository, tmp_path: Path) -> None:
    await other.save_many(sample(row_type) for row_type in ROW_TYPES)
    with bz2.open(tmp_path / "rows.bz2", "wb") as file:  # it cannot seek, and has the descriptor of the compressed file
        written = await export(other, file)
    with bz2.open(tmp_path / "rows.bz2", "rb") as file:
        assert await import_(empty, file) == written
    assert (await verify(other, empty)).is_equal


async def test_an_export_that_fails_keeps_the_old_file(filled: SqlRepository, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("old")

    def stop(_progress: object) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await export(filled, file, progress=stop)
    assert file.read_text() == "old"
    assert _names(tmp_path) == {file.name}


@pytest.mark.parametrize("moment", ["header_line", "row_line", "trailer_line"])
async def test_an_export_that_is_cancelled_leaves_no_temporary_file(
    other: SqlRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    await other.save_session(sample(SessionRow))
    loop, line = asyncio.get_running_loop(), getattr(writer, moment)

    def cancel_and_write(*arguments: Any) -> bytes:
        for _ in range(2):
            loop.call_soon_threadsafe(exporting.cancel)
            time.sleep(0.05)  # this thread uses the file when the task is cancelled
        written: bytes = line(*arguments)
        return written

    monkeypatch.setattr(writer, moment, cancel_and_write)
    exporting = asyncio.create_task(export(other, tmp_path / "rows.jsonl"))
    with pytest.raises(asyncio.CancelledError):
        await exporting
    assert _names(tmp_path) <= {"rows.jsonl"}


async def test_errors_of_files_are_errors_of_the_package(other: SqlRepository, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read the file: No such file"):
        await import_(other, tmp_path / "missing.jsonl")
    with pytest.raises(StorageError, match="cannot create the file: No such file"):
        await export(other, tmp_path / "missing" / "rows.jsonl")
    with pytest.raises(InvalidArgumentError, match="storage: InMemoryBackend has no database"):
        await export(InMemoryBackend(), tmp_path / "rows.jsonl")
    with pytest.raises(InvalidArgumentError, match="storage: InMemoryBackend has no database"):
        await import_(InMemoryBackend(), tmp_path / "rows.jsonl")


async def test_without_zstandard_the_error_names_the_extra(
    other: SqlRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(InvalidArgumentError, match=r"axon-storage\[zstd\]"):
        await export(other, tmp_path / "rows.jsonl.zst")
    assert _names(tmp_path) == set()


async def test_a_number_that_a_file_cannot_have_is_refused(other: SqlRepository, tmp_path: Path) -> None:
    await other.record_cost(sample(CostRow))
    async with other.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE cost_tracking SET cost_usd = 9e999")
    with pytest.raises(SerializationError, match=r"cost_tracking\.cost_usd: inf is not a finite number"):
        await export(other, tmp_path / "rows.jsonl")
    assert _names(tmp_path) == set()


async def test_a_json_document_with_line_breaks_is_one_line(
    other: SqlRepository, empty: SqlRepository, tmp_path: Path
) -> None:
    await other.save_axon_store(sample(AxonStoreRow))
    async with other.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE axon_stores SET entries = '{\"a\":\n[1,\r\n 2.0]}'")
    await export(other, tmp_path / "rows.jsonl")
    await import_(empty, tmp_path / "rows.jsonl")
    [row] = await empty.load_axon_stores()
    assert row.entries == {"a": [1, 2.0]}
