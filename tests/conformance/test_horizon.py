"""No event is committed more than 60 s after it was appended, whatever it waits for."""

import asyncio
import time
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import (
    AuditRow,
    EventRow,
    QueryError,
    SessionRow,
    SqlRepository,
    StorageConnectionError,
    create_engine,
)
from axon_storage.engine.executor import Executor
from axon_storage.model.requests import Append, Save
from axon_storage.model.validation import validate_row
from axon_storage.sql.compiler import Compiler
from axon_storage.sql.writes import PreparedWrite
from axon_storage.testing.samples import sample

TOO_LATE = "cannot be committed more than 60 s after it was appended"


def prepared(compiler: Compiler, row: EventRow | AuditRow, seconds_ago: float) -> PreparedWrite[UUID]:
    """Prepare an append as if the call had been made earlier."""
    checked = validate_row(row, type(row), "default")
    write = compiler.prepare(Append(operation="append", tenant="default", row=checked, id=None))
    return replace(write, event_time=write.event_time - seconds_ago)


@pytest.mark.parametrize("can_autocommit", [True, False])
async def test_an_event_older_than_the_horizon_is_not_committed(engine: AsyncEngine, can_autocommit: bool) -> None:
    executor = Executor(engine)
    compiler = Compiler(executor.dialect)
    for seconds, row in ((59, sample(EventRow)), (61, sample(AuditRow))):
        await executor.run("append", compiler.single(prepared(compiler, row, seconds)))
    unit = replace(compiler.single(prepared(compiler, sample(EventRow), 61)), can_autocommit=can_autocommit)
    with pytest.raises(QueryError, match=TOO_LATE) as refused:
        await executor.run("append", unit)
    assert refused.value.transient
    repository = SqlRepository(engine)
    assert (len(await repository.query_events(None, 9)), len(await repository.query_audit(9))) == (1, 1)


async def test_the_oldest_event_of_a_batch_decides(engine: AsyncEngine) -> None:
    executor = Executor(engine)
    compiler = Compiler(executor.dialect)
    entry = validate_row(sample(SessionRow), SessionRow, "default")
    save = compiler.prepare(Save(operation="save", tenant="default", rows=[entry]))
    new, old = (prepared(compiler, sample(EventRow), seconds) for seconds in (0, 61))
    with pytest.raises(QueryError, match=TOO_LATE):
        await executor.run("batch", compiler.batch([new, save, old]))
    await executor.run("batch", compiler.batch([new, save]))
    assert len(await SqlRepository(engine).query_events(None, 9)) == 1


async def test_a_late_event_does_not_fail_the_other_calls_of_its_batch(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(url)
    async with SqlRepository(engine) as storage:
        await storage.append_event(sample(EventRow, source="first"))
        stalls = [0.0, 0.4]  # the first call is sent alone, the others in a batch

        def checkout(*_: object) -> None:
            time.sleep(stalls.pop(0) if stalls else 0.0)

        event.listen(engine.sync_engine, "checkout", checkout)
        monkeypatch.setattr(Executor, "append_horizon", 0.2)
        first, late, saved = await asyncio.gather(
            storage.append_audit(sample(AuditRow)),
            storage.append_event(sample(EventRow, source="late")),
            storage.save_session(sample(SessionRow)),
            return_exceptions=True,
        )
        assert not isinstance(first, BaseException)
        assert isinstance(late, QueryError | StorageConnectionError)
        assert late.transient
        assert saved is None
        assert await storage.get_session("name", "name") is not None
        assert [row.source for row in await storage.query_events(None, 9)] == ["first"]
