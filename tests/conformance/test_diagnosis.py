"""diagnose(): the checks of ``axon-storage doctor``, on a sound database and with planted problems."""

import re
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from axon_storage import create_engine, schema
from axon_storage.diagnosis import diagnose
from axon_storage.dialects import DIALECTS, dialect_of
from axon_storage.dialects.mysql import MariaDB
from axon_storage.model.findings import Finding, Status
from axon_storage.sql.tables import metadata, pruning
from tests.databases import Databases

ROOT = Path(__file__).parents[2]

EXCESS_OF_OWNERS = {
    "SQLite": "",
    "PostgreSQL": "SUPERUSER; BYPASSRLS; CREATEROLE",
    "MySQL": "CREATE, DROP",
    "MariaDB": "ALL PRIVILEGES, GRANT OPTION on *.*",
    "Oracle": "ownership of the tables",
}
"""What ``doctor`` finds that the accounts of the test servers may do besides reading and changing rows."""


async def _findings(url: str, **options: int) -> list[Finding]:
    return [finding async for finding in diagnose(url, **options)]


def _named(findings: list[Finding], name: str) -> list[Finding]:
    return [finding for finding in findings if finding.name == name]


@pytest.mark.needs_role("owner", reason="it finds the rights of the owner")
async def test_a_sound_database_fails_no_check(url: str, engine: AsyncEngine) -> None:
    findings = await _findings(url)
    assert [finding for finding in findings if finding.status is Status.FAIL] == []
    for name in (
        "reachable",
        "server version",
        "driver version",
        "read-only",
        "durability",
        "schema",
        "tables",
        "rights",
    ):
        assert len(_named(findings, name)) == 1, name
    [schema_found] = _named(findings, "schema")
    assert schema_found.status is Status.OK
    [rights] = _named(findings, "rights")
    assert rights.found == f"SELECT, INSERT, UPDATE, DELETE on {len(metadata.tables)} tables"
    assert dialect_of(engine.dialect).title in _named(findings, "server version")[0].found
    excess = EXCESS_OF_OWNERS[dialect_of(engine.dialect).title]
    assert [finding.status for finding in _named(findings, "account")] == [Status.WARN] * bool(excess)
    assert all(excess in finding.found for finding in _named(findings, "account"))


async def test_every_finding_that_is_not_ok_says_what_to_do(url: str) -> None:
    findings = await _findings(url)
    assert [
        finding for finding in findings if finding.status in {Status.WARN, Status.FAIL} and not finding.remedy
    ] == []


async def test_no_finding_shows_the_password(url: str) -> None:
    password = make_url(url).password
    shown = " ".join(f"{finding.found} {finding.remedy}" for finding in await _findings(url))
    assert password is None or password not in shown


async def test_the_checks_leave_no_row(url: str, engine: AsyncEngine) -> None:
    findings = await _findings(url)
    assert re.match(r"\d+\.\d ms", _named(findings, "durable write")[0].found)
    async with engine.connect() as connection:
        for table in metadata.sorted_tables:
            assert (await connection.execute(select(table))).all() == [], table.name


@pytest.mark.needs_role("owner", reason="it changes the schema")
async def test_an_old_schema_fails(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    await schema.upgrade(url, "0003")
    findings = await _findings(url)
    [found] = _named(findings, "schema")
    assert found.status is Status.FAIL
    assert "revision 0003" in found.found
    assert "migrate upgrade" in found.remedy
    [skipped] = _named(findings, "tables")
    assert skipped.status is Status.UNKNOWN
    assert "because" in skipped.found
    assert "migrate upgrade" in skipped.remedy


@pytest.mark.needs_role("owner", reason="it changes the schema")
async def test_a_database_without_a_schema_fails(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    if target == "sqlite":
        Path(make_url(url).database or "").touch()  # noqa: ASYNC240  # a test may block
    findings = await _findings(url)
    assert [finding.name for finding in findings if finding.status is Status.FAIL] == ["schema"]
    for name in ("tables", "rights", "durable write"):
        [skipped] = _named(findings, name)
        assert skipped.status is Status.UNKNOWN
        assert "because" in skipped.found
        assert "migrate upgrade" in skipped.remedy


@pytest.mark.needs_role("owner", reason="it changes the schema")
async def test_a_missing_index_warns_and_a_missing_column_fails(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    await schema.upgrade(url)
    engine = create_engine(url)
    try:
        async with engine.begin() as connection:
            on = " ON traces" if dialect_of(engine.dialect).title in {"MySQL", "MariaDB"} else ""
            await connection.execute(text(f"DROP INDEX ix_traces_flow{on}"))
        assert [finding.status for finding in _named(await _findings(url), "tables")] == [Status.WARN]
        async with engine.begin() as connection:
            await connection.execute(text("ALTER TABLE sessions DROP COLUMN source_step"))
        statuses = {finding.status for finding in _named(await _findings(url), "tables")}
        assert statuses == {Status.WARN, Status.FAIL}
    finally:
        await engine.dispose()


async def test_too_few_free_connections_warn(url: str, engine: AsyncEngine) -> None:
    found = _named(await _findings(url, pool_size=5000), "connections")
    if dialect_of(engine.dialect).title in {"SQLite", "Oracle"}:
        unknown = [] if dialect_of(engine.dialect).embedded else [Status.UNKNOWN]
        assert [finding.status for finding in found] == unknown
    else:
        assert [finding.status for finding in found] == [Status.WARN]
        assert [finding.status for finding in _named(await _findings(url, pool_size=1), "connections")] == [Status.OK]


@pytest.mark.needs_role("owner", reason="it makes an account")
@pytest.mark.not_on("sqlite", "a file has no accounts")
@pytest.mark.not_on("oracle", "it does not tell")
async def test_the_limit_of_the_account_counts(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    engine, given = create_engine(url), make_url(url)
    is_postgresql, name = dialect_of(engine.dialect).title == "PostgreSQL", given.database
    statements = (
        [f"CREATE ROLE {name} LOGIN PASSWORD 'p' CONNECTION LIMIT 9"]
        if is_postgresql
        else [f"CREATE USER {name} IDENTIFIED BY 'p' WITH MAX_USER_CONNECTIONS 9", f"GRANT ALL ON {name}.* TO {name}"]
    )
    limited = given.set(username=name, password="p")
    used = create_engine(limited, pool_size=2)
    try:
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
        async with used.connect(), used.connect():
            for pool_size, status in ((3, Status.OK), (4, Status.WARN)):
                findings = await _findings(limited.render_as_string(hide_password=False), pool_size=pool_size)
                [found] = _named(findings, "connections")
                assert found.found.startswith("3 of this account's 9 are open, 6 are free; ")
                assert found.status is status
    finally:
        await used.dispose()
        async with engine.begin() as connection:
            await connection.execute(text(f"DROP {'ROLE' if is_postgresql else 'USER'} {name}"))
        await engine.dispose()


async def test_an_unreachable_server_and_a_missing_file_are_the_only_finding(tmp_path: Path) -> None:
    [refused] = await _findings("postgresql://ada:secret@127.0.0.1:1/agents")
    assert (refused.name, refused.status) == ("reachable", Status.FAIL)
    [missing] = await _findings(f"sqlite:///{tmp_path}/missing.db")
    assert (missing.name, missing.status) == ("reachable", Status.FAIL)
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240  # a test may block
    [unknown] = await _findings("mongodb://ada:secret@host/agents")
    assert (unknown.name, unknown.status) == ("URL", Status.FAIL)
    assert "secret" not in f"{refused}{unknown}"


def test_the_tested_versions_are_those_of_the_readme_and_the_constraints() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for dialect in (*DIALECTS, MariaDB()):
        if dialect.tested_servers:
            tested = re.escape(", ".join(dialect.tested_servers))
            assert re.search(rf"^\| {dialect.title} \|.*\| {tested}, through", readme, re.MULTILINE)
        for driver, version in dialect.tested_drivers.items():
            assert re.search(rf"^{driver}=={re.escape(version)}\.", constraints, re.MULTILINE)


@pytest.mark.needs_role("owner", reason="it changes settings of the database")
@pytest.mark.parametrize("target", ["postgresql"])  # the others have only settings of the whole server
async def test_a_setting_that_can_lose_commits_warns(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    assert [finding.status for finding in _named(await _findings(url), "durability")] == [Status.WARN]  # fsync is off
    engine = create_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"ALTER DATABASE {engine.url.database} SET synchronous_commit = off"))
            await connection.execute(text(f"ALTER DATABASE {engine.url.database} SET statement_timeout = '7s'"))
    finally:
        await engine.dispose()
    findings = await _findings(url)
    assert {finding.found for finding in _named(findings, "durability")} == {
        "synchronous_commit is off",
        "fsync is off",
    }
    assert [finding.status for finding in _named(findings, "statement_timeout")] == [Status.WARN]


@pytest.mark.needs_role("owner", reason="it makes an account")
@pytest.mark.not_on("sqlite", "a file has no accounts")
@pytest.mark.not_on("oracle", "a user of the double owns its tables")
async def test_an_account_that_may_only_read_fails(databases: Databases, target: str) -> None:
    url = await databases.empty(target)
    await schema.upgrade(url)
    engine, given = create_engine(url), make_url(url)
    title = dialect_of(engine.dialect).title
    try:
        async with engine.begin() as connection:
            if title == "PostgreSQL":
                reader = given.set(username=given.database, password="reader")
                await connection.execute(text(f"CREATE ROLE {given.database} LOGIN PASSWORD 'reader'"))
                await connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))  # before PostgreSQL 15
                await connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {given.database}"))
            else:
                reader = given.set(username=given.database, password="reader")
                await connection.execute(text(f"CREATE USER '{given.database}'@'%' IDENTIFIED BY 'reader'"))
                await connection.execute(text(f"GRANT SELECT ON {given.database}.* TO '{given.database}'@'%'"))
        findings = await _findings(reader.render_as_string(hide_password=False))
        [rights] = _named(findings, "rights")
        assert rights.status is Status.FAIL
        assert "traces: no INSERT, UPDATE, DELETE" in rights.found
        assert "SELECT" not in rights.found.partition("(")[0]
        assert _named(findings, "durable write")[0].status is Status.FAIL
        assert [finding.status for finding in _named(findings, "account")] == [Status.OK]
        async with engine.begin() as connection:
            assert (await connection.execute(select(pruning))).all() == []
            if title == "PostgreSQL":
                await connection.execute(text(f"DROP OWNED BY {given.database}"))
            await connection.execute(text(f"DROP {'ROLE' if title == 'PostgreSQL' else 'USER'} {given.database}"))
    finally:
        await engine.dispose()
