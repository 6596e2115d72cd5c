"""A statement is compiled once, however often it is sent and with however many rows.

This needs SQLAlchemy 2.1: in 2.0 the upserts of most databases have no cache key.
"""

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import Row, SqlRepository
from axon_storage.model.rows import ROW_TYPES
from axon_storage.sql import driver_statements
from axon_storage.sql.driver_statements import DriverStatement
from axon_storage.testing.samples import sample
from axon_storage.testing.verbs import delete, load, store


def _row(row_type: type[Row], number: int) -> Row:
    """Make a row whose key contains the number."""
    row = sample(row_type)
    last: dict[str, Any] = {name: type(getattr(row, name))(number) for name in row_type.KEY[-1:]}
    return sample(row_type, **last)


async def _each_call(repository: SqlRepository, row_type: type[Row], rows: int) -> None:
    row = _row(row_type, rows)
    await store(repository, row)
    await repository.save_many([_row(row_type, number) for number in range(rows)])
    await load(repository, row_type)
    if row_type.KEY:
        await delete(repository, row)


@pytest.mark.parametrize("row_type", ROW_TYPES)
async def test_a_statement_is_compiled_once(
    repository: SqlRepository, engine: AsyncEngine, row_type: type[Row]
) -> None:
    compiled: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        if context.compiled is not None and context.cache_hit.name != "CACHE_HIT":
            compiled.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        await _each_call(repository, row_type, 2)
        compiled.clear()
        await _each_call(repository, row_type, 3)
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)
    assert compiled == []


@pytest.mark.parametrize("row_type", ROW_TYPES)
async def test_a_statement_of_the_driver_is_compiled_once(
    repository: SqlRepository, row_type: type[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):  # the first statement of an engine is not sent by the driver itself
        await _each_call(repository, row_type, 2)
    compiled: list[Any] = []

    class Noted(DriverStatement):
        def __init__(self, statement: Any, dialect: Any) -> None:
            compiled.append(statement)
            super().__init__(statement, dialect)

    monkeypatch.setattr(driver_statements, "DriverStatement", Noted)
    await _each_call(repository, row_type, 3)
    assert compiled == []
