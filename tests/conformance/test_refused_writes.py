"""Writes that the database refuses: the error names the operation and the code, and shows no value."""

import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import QueryError, create_engine
from axon_storage.engine.executor import Executor
from axon_storage.sql.unit_of_work import UnitOfWork
from tests.databases import TARGETS, Databases

VALUE = 'it\'s the "secret" value'

TABLE = (
    "CREATE TABLE refusing (id {integer} NOT NULL PRIMARY KEY, name {string}(20), doc {string}(200) NOT NULL, "
    "amount {integer}, CONSTRAINT ck_amount CHECK (amount < 100), CONSTRAINT uq_doc UNIQUE (doc))"
)
INSERT = "INSERT INTO refusing (id, name, doc, amount) VALUES (:id, :name, :doc, :amount)"

REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "a duplicate": (INSERT, {"id": 2, "name": "n", "doc": VALUE, "amount": 1}),
    "a check": (INSERT, {"id": 2, "name": "n", "doc": f"{VALUE} 2", "amount": 200}),
    "too long": (INSERT, {"id": 2, "name": VALUE * 2, "doc": f"{VALUE} 2", "amount": 1}),
    "a NULL": (INSERT, {"id": 2, "name": VALUE[:20], "doc": None, "amount": 1}),
    "another type": (INSERT, {"id": 2, "name": "n", "doc": f"{VALUE} 2", "amount": VALUE}),
    "bad SQL": ("SELECT :doc FRO refusing", {"doc": VALUE}),
}

pytestmark = pytest.mark.needs_role("owner", reason="it creates tables and triggers")


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def engine(databases: Databases, target: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(await databases.empty(target))
    types = {"integer": "INTEGER", "string": "VARCHAR2" if target.startswith("oracle") else "VARCHAR"}
    async with made.begin() as connection:
        await connection.execute(text(TABLE.format(**types)))
        await connection.execute(text(INSERT), {"id": 1, "name": "n", "doc": VALUE, "amount": 1})
    yield made
    await made.dispose()


@pytest.mark.parametrize("reason", REFUSED)
async def test_the_message_and_traceback_of_a_refused_write_show_no_value(
    engine: AsyncEngine, target: str, reason: str
) -> None:
    statement, parameters = REFUSED[reason]
    executor = Executor(engine)

    def work(connection: Connection) -> None:
        connection.execute(text(statement), parameters)

    if target == "sqlite" and reason in {"too long", "another type"}:  # SQLite stores these
        pytest.skip("SQLite has dynamic types")
    with pytest.raises(QueryError) as refused:
        await executor.run("statement", UnitOfWork(work, writes=True))
    error = refused.value
    shown = "".join(traceback.format_exception(error))
    assert "secret" not in shown
    assert "secret" not in f"{error.__cause__!r} {vars(error.__cause__)}"
    cause = error.__cause__
    assert cause is not None
    assert executor.dialect.is_driver_error(cause)
    code = executor.dialect.code(cause)
    assert f"statement: [{code}] " in str(error) or not code


_RAISE_FUNCTION = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'refused: %', NEW.doc USING ERRCODE = '23514'; END $$
"""
_SIGNAL_TRIGGER = """
CREATE TRIGGER refuse BEFORE INSERT ON refusing FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = NEW.doc
"""

TRIGGERS = {
    "postgresql": [
        _RAISE_FUNCTION,
        "CREATE TRIGGER refuse BEFORE INSERT ON refusing FOR EACH ROW EXECUTE FUNCTION refuse()",
    ],
    "mariadb": [_SIGNAL_TRIGGER],
    "mysql": [_SIGNAL_TRIGGER],
}


@pytest.mark.parametrize("target", TRIGGERS, indirect=True)
async def test_the_message_of_a_trigger_is_not_shown(engine: AsyncEngine, target: str) -> None:
    async with engine.begin() as connection:
        for statement in TRIGGERS[target]:
            await connection.exec_driver_sql(statement)

    def work(connection: Connection) -> None:
        connection.execute(text(INSERT), {"id": 2, "name": "n", "doc": f"{VALUE} 2", "amount": 1})

    with pytest.raises(QueryError, match="an error that a trigger or a") as refused:
        await Executor(engine).run("statement", UnitOfWork(work, writes=True))
    assert "secret" not in "".join(traceback.format_exception(refused.value))
