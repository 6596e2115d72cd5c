"""Rows that were stored under each revision are the same at head."""

from typing import Any

import pytest
from sqlalchemy import Connection, insert

from axon_storage import SqlRepository, create_engine, schema
from axon_storage.model.ids import new_id, timestamp_of
from axon_storage.model.rows import ROW_TYPES, Row, check_row
from axon_storage.sql.tables import CREATED_ID, TABLES
from axon_storage.testing.samples import LARGEST, sample
from axon_storage.testing.verbs import everything

REVISIONS = [revision.number for revision in schema.history()]

HARD: dict[str, Any] = {
    "trace_id": LARGEST,
    "replay_of": 0,
    "correlation_id": "",
    "flow_name": "a ",
    "events": [1, 1.0, LARGEST, ""],
}


def _rows() -> list[Row]:
    """A row of each type, the trace with values that are easily lost. Later revisions may need other columns filled."""
    return [sample(row_type, **(HARD if row_type.TABLE == "traces" else {})) for row_type in ROW_TYPES]


def _insert(connection: Connection) -> None:
    for row in _rows():
        table, values = TABLES[type(row)], dict(check_row(row).values)
        if "id" in table.c and not row.KEY:
            values["id"] = new_id()
            values["timestamp_utc"] = timestamp_of(values["id"])
        if CREATED_ID in table.c:
            values[CREATED_ID] = new_id()
        connection.execute(insert(table), values)


@pytest.mark.parametrize("revision", REVISIONS)
async def test_rows_of_each_revision_survive_to_head_and_back(url: str, revision: str) -> None:
    await schema.upgrade(url, revision)
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(_insert)
    await schema.upgrade(url)
    storage = SqlRepository(engine)
    assert await everything(storage) == _rows()
    await schema.downgrade(url, revision)
    await schema.upgrade(url)
    assert await everything(storage) == _rows()
    await storage.close()
