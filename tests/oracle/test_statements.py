"""Oracle's grammar and the linter accept every statement that is sent, and the script for a DBA."""

import fcntl
import json
import os
import re
import subprocess
import sys
from inspect import getmembers, isfunction
from pathlib import Path

import pytest
from sqlalchemy import text

from axon_storage import SqlRepository, StorageBackend, create_engine
from axon_storage.sql.tables import TABLES, metadata
from tests.databases import Databases, skip_without
from tests.oracle.emitted import call_every_method, listening
from tests.oracle.linter import lint_sql
from tests.servers import oracle_grammar, packages

CHECKOUT = Path(__file__).parents[2]

GAPS = {
    r"\bannotations\b": "annotations_",  # a keyword of 23ai that Oracle does not reserve
    r"\ba_indexes\.compression\b": "a_indexes.compression_",  # a column of Oracle's own dictionary
    r"^(CREATE INDEX .*) ONLINE$": r"\1",
    r"^(ALTER SESSION SET ddl_lock_timeout =) \d+$": r"\1 n",
}
"""Patterns of what Oracle accepts and the grammar does not, and what is parsed instead."""

NOT_CALLS = {"close", "current_tenant", "execute", "for_tenant"}
"""Methods of a storage that send no statements of their own."""


def _syntax_errors(scripts: list[str], shared: Path) -> dict[str, list[str]]:
    """Return the errors in scripts. Each is parsed once per run: it takes long, and both doubles get the same."""
    programs = packages.oracle_grammar()
    if programs is None:
        skip_without("oracle-grammar", "it is not on this machine, and `make servers` could not get it")
    parsed = shared / "parsed.json"
    with (shared / "parsed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found: dict[str, list[str]] = json.loads(parsed.read_text()) if parsed.exists() else {}
        if new := [script for script in scripts if script not in found]:
            known = new
            for pattern, instead in GAPS.items():
                known = [re.sub(pattern, instead, script) for script in known]
            found |= zip(new, oracle_grammar.syntax_errors(known, programs), strict=True)
            parsed.write_text(json.dumps(found))
    return {script: found[script] for script in scripts if found[script]}


def _offline(*command: str) -> str:
    environment = {**os.environ, "DATABASE_URL": "oracle://h/?service_name=d"}
    alembic = [sys.executable, "-m", "alembic", *command, "--sql"]
    done = subprocess.run(alembic, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
async def statements(databases: Databases, target: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The set of statements that are sent to a new database."""
    engine = create_engine(await databases.empty(target))
    with listening(engine, monkeypatch) as sent:
        called = await call_every_method(engine)
    await engine.dispose()
    public = {name for name, _ in getmembers(StorageBackend, isfunction) if not name.startswith("_")} - NOT_CALLS
    assert public <= called
    return list(dict.fromkeys(sent))


async def test_the_grammar_accepts_every_statement(statements: list[str], shared: Path) -> None:
    print(f"{len(statements)} statements")  # noqa: T201  # shown with -rP
    assert _syntax_errors(statements, shared) == {}


async def test_the_linter_finds_no_fault_in_any_statement(statements: list[str]) -> None:
    queries = [sql for sql in statements if sql.split()[0] in {"SELECT", "MERGE", "DELETE", "INSERT", "UPDATE"}]
    ours = [sql for sql in queries if any(table in sql for table in metadata.tables)]
    assert {sql: faults for sql in ours if (faults := lint_sql(sql, metadata))} == {}
    of_rows = {table.name for table in TABLES.values()}
    assert {table for table in of_rows if any(table in sql for sql in ours)} == of_rows


def test_the_grammar_refuses_what_is_not_oracles(shared: Path) -> None:
    refused = ["SELECT a FROM t LIMIT 1", "DELETE FROM t USING u", "SELECT a FROM t AS x"]
    assert list(_syntax_errors(refused, shared)) == refused


@pytest.mark.parametrize("command", [("upgrade", "head"), ("downgrade", "head:base")])
def test_the_grammar_accepts_the_offline_script(command: tuple[str, ...], shared: Path) -> None:
    script = _offline(*command)
    assert script.startswith("SET DEFINE OFF\nWHENEVER SQLERROR EXIT FAILURE ROLLBACK\n\n")
    statements = _statements(script)
    assert statements[0].startswith("ALTER SESSION SET ddl_lock_timeout")
    assert statements[-1] == "COMMIT"
    for mark in ("\n\n", ":", "&"):  # SQL*Plus would end the statement there, or ask for a value
        assert not any(mark in sql for sql in statements)
    assert _syntax_errors([*script.partition("\n\n")[0].split("\n"), *statements], shared) == {}


async def test_the_offline_script_runs_as_it_is(databases: Databases, target: str) -> None:
    engine = create_engine(await databases.empty(target))
    storage = SqlRepository(engine)
    for command, healthy in ((("upgrade", "head"), True), (("downgrade", "head:base"), False)):
        async with engine.connect() as connection:
            for sql in _statements(_offline(*command)):
                await connection.execute(text(sql))
        assert await storage.is_healthy() == healthy
    await storage.close()


def _statements(script: str) -> list[str]:
    """Return what SQL*Plus sends: the text before each slash, without comments and SQL*Plus's own commands."""
    *statements, nothing = script.partition("\n\n")[2].split("\n\n/\n\n")
    assert nothing == ""
    return [re.sub(r"^--.*\n\n", "", sql) for sql in statements]
