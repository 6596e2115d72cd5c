"""No log, error, span, metric or health report shows a stored value; no error keeps the frames that have it."""

import sqlite3
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    EventRow,
    QueryError,
    SessionRow,
    SqlRepository,
    StorageError,
    TraceRow,
    audit,
    create_engine,
    open_storage,
    transfer,
)
from axon_storage.testing.samples import sample
from tests.conformance.concurrent_writes import refusing
from tests.security.reports import check_frames, check_log, texts
from tests.telemetry import Telemetry

VALUE = "marked-value"


async def _use(storage: Any) -> None:
    """Write and read values in every way that sends or returns them differently."""
    await storage.save_session(sample(SessionRow, key=VALUE, value=VALUE))
    await storage.save_many(sample(SessionRow, key=f"{n}", value=VALUE * 100) for n in range(3))
    await storage.append_event(sample(EventRow, payload={"text": VALUE}))
    async with storage.transaction() as transaction:
        await transaction.save_trace(sample(TraceRow, annotations={"text": VALUE}))
        await transaction.load_sessions("name")
    assert len(await storage.load_sessions("name")) == 4
    assert len([event async for event in storage.iter_events()]) == 1
    await storage.stats()


async def test_the_log_of_every_package_at_debug(url: str, full_log: pytest.LogCaptureFixture) -> None:
    async with open_storage(url, slow_call_seconds=0.000_001) as storage:
        await _use(storage)
    assert any(record.name.startswith("sqlalchemy.engine") for record in full_log.records)
    check_log(full_log, VALUE)


async def test_what_echo_writes(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    async with SqlRepository(create_engine(url, echo=True)) as storage:
        await _use(storage)
    written = "".join(capfd.readouterr())
    assert "INSERT" in written
    assert VALUE not in written


async def test_a_write_that_the_database_refuses(
    engine: AsyncEngine, target: str, full_log: pytest.LogCaptureFixture
) -> None:
    telemetry = Telemetry()
    storage = SqlRepository(engine, **telemetry.options)
    row = sample(EventRow, topic=VALUE, source="bad", payload=[VALUE])
    async with refusing(engine, target):
        with pytest.raises(QueryError) as refused:
            await storage.append_event(row)
        with pytest.raises(QueryError) as of_many:
            await storage.save_many([row, sample(EventRow, topic=VALUE, payload=[VALUE])])
        errors: list[StorageError] = [refused.value, of_many.value, *await _errors_of_a_transaction(storage, row)]
    for error in errors:
        check_frames(error)
        assert not [shown for shown in texts(error) if VALUE in shown]
    check_log(full_log, VALUE)
    assert VALUE not in " ".join(span.to_json() for span in telemetry.spans.ended)


async def _errors_of_a_transaction(storage: SqlRepository, row: EventRow) -> list[StorageError]:
    """Return the errors of a second call that fails, of a call after it, and of the COMMIT."""
    errors = []
    with pytest.raises(QueryError) as of_commit:
        async with storage.transaction() as transaction:
            await transaction.save_session(sample(SessionRow, value=VALUE))
            for _ in range(2):
                with pytest.raises(QueryError) as refused:
                    await transaction.append_event(row)
                errors.append(refused.value)
    return [*errors, of_commit.value]


REFUSED: dict[str, Any] = {
    "a text": sample(SessionRow, value=f"{VALUE}\0"),
    "a key": sample(SessionRow, key=f"{VALUE}\ud800"),
    "a long name": sample(SessionRow, scope=VALUE * 100),
    "a document": sample(EventRow, payload=[{"text": f"{VALUE}\0"}]),
    "a subclass": sample(EventRow, payload=type("Text", (str,), {})(VALUE)),
    "bytes": sample(EventRow, payload=VALUE.encode()),
    "another type": sample(TraceRow, retries=VALUE),
    "another row": sample(SessionRow, "other", value=VALUE),
}


@pytest.mark.parametrize("target", ["sqlite"])
@pytest.mark.parametrize("reason", REFUSED)
async def test_a_value_that_is_refused(engine: AsyncEngine, reason: str) -> None:
    storage = SqlRepository(engine)
    with pytest.raises(StorageError) as refused:
        await storage.save_many([REFUSED[reason]])
    assert not [shown for shown in texts(refused.value) if VALUE in shown]


DAMAGE = {
    "a document": ("event_history", "payload"),
    "an id": ("audit_log", "id"),
    "a timestamp": ("audit_log", "timestamp_utc"),
}


@pytest.mark.parametrize("what", DAMAGE)
async def test_a_value_that_cannot_be_read(what: str, tmp_path: Path) -> None:
    table, column = DAMAGE[what]
    url, copy = f"sqlite:///{tmp_path}/damaged.db", f"sqlite:///{tmp_path}/copy.db"
    async with open_storage(url) as storage, open_storage(copy):
        await storage.append_event(sample(EventRow))
        await storage.append_audit(sample(AuditRow))
    with closing(sqlite3.connect(tmp_path / "damaged.db")) as connection, connection:
        connection.execute(f"UPDATE {table} SET {column} = '{VALUE}'")  # fixed names
    works = [_read(url), transfer.verify(url, copy), transfer.copy(url, copy), audit.seal(url)]
    works.append(transfer.export(url, tmp_path / "damaged.jsonl"))
    errors = [end for end in [await _end(work) for work in works] if end is not None]
    assert len(errors) >= (1 if what == "a document" else 3)
    for error in errors:
        check_frames(error)
        assert not [shown for shown in texts(error) if VALUE in shown]


async def _end(work: Awaitable[object]) -> StorageError | None:
    try:
        await work
    except StorageError as error:
        return error
    return None


async def _read(url: str) -> None:
    async with open_storage(url) as storage:
        _ = [event async for event in storage.iter_events()]
        _ = [entry async for entry in storage.iter_audit()]
