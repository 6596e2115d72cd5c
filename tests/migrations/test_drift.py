"""The comparison of the schema finds each kind of difference."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, MetaData, String, Table, UniqueConstraint
from sqlalchemy.dialects import mysql, postgresql

from axon_storage import create_engine, schema
from axon_storage.sql.tables import metadata
from axon_storage.sql.types import Identifier, UInt32, UtcTimestamp
from tests.databases import Databases

Change = Callable[[dict[str, Column[Any]], list[Any]], None]

COLLATION = {"postgresql": "POSIX", "mysql": "utf8mb4_bin", "mariadb": "utf8mb4_bin", "sqlite": "NOCASE"}
COLLATION["citus"] = COLLATION["postgresql"]
PLAIN = "cost_tracking"
"""A table with an index and a timestamp."""


def _type(columns: dict[str, Column[Any]], _others: list[Any]) -> None:
    columns["backend"] = Column("backend", Identifier(254), nullable=False)


def _kind(columns: dict[str, Column[Any]], _others: list[Any]) -> None:
    columns["timestamp_utc"] = Column("timestamp_utc", UInt32(), nullable=False)


def _nullable(columns: dict[str, Column[Any]], _others: list[Any]) -> None:
    columns["backend"] = Column("backend", Identifier(255), nullable=True)


def _default(columns: dict[str, Column[Any]], _others: list[Any]) -> None:
    columns["backend"] = Column("backend", Identifier(255), nullable=False, server_default="none")


def _missing_column(columns: dict[str, Column[Any]], _others: list[Any]) -> None:
    del columns["backend"]


def _further_column(columns: dict[str, Column[Any]], _others: list[Any]) -> None:
    columns["further"] = Column("further", UtcTimestamp(), nullable=True)


def _key_order(columns: dict[str, Column[Any]], _others: list[Any]) -> None:
    columns["tenant_id"], columns["id"] = columns.pop("tenant_id"), columns.pop("id")
    tenant = columns.pop("tenant_id")
    columns["tenant_id"] = tenant


def _missing_index(_columns: dict[str, Column[Any]], others: list[Any]) -> None:
    others[:] = [item for item in others if not isinstance(item, Index)]


def _other_index(_columns: dict[str, Column[Any]], others: list[Any]) -> None:
    others[:] = [Index("ix_cost_tracking_flow", "tenant_id", "id", "flow_name")]


def _unique_index(_columns: dict[str, Column[Any]], others: list[Any]) -> None:
    others[:] = [Index("ix_cost_tracking_flow", "tenant_id", "flow_name", "id", unique=True)]


def _further_index(_columns: dict[str, Column[Any]], others: list[Any]) -> None:
    others.append(Index("ix_further", "backend"))


def _unique(_columns: dict[str, Column[Any]], others: list[Any]) -> None:
    others.append(UniqueConstraint("tenant_id", "backend", name="uq_further"))


def _check(_columns: dict[str, Column[Any]], others: list[Any]) -> None:
    others.append(CheckConstraint("input_tokens > 0", name="ck_further"))


def _foreign_key(_columns: dict[str, Column[Any]], others: list[Any]) -> None:
    others.append(
        ForeignKeyConstraint(["tenant_id", "backend"], ["schedules.tenant_id", "schedules.name"], name="fk_x")
    )


PLANTED: list[tuple[Change, str]] = [
    (_type, "cost_tracking.backend"),
    (_kind, "cost_tracking.timestamp_utc"),
    (_nullable, "cost_tracking.backend"),
    (_default, "cost_tracking.backend"),
    (_missing_column, "cost_tracking.backend: missing"),
    (_further_column, "cost_tracking.further"),
    (_key_order, "cost_tracking, primary key: (id, tenant_id), not (tenant_id, id)"),
    (_missing_index, "cost_tracking, index ix_cost_tracking_flow: missing"),
    (_other_index, "cost_tracking, index ix_cost_tracking_flow: (tenant_id, id, flow_name)"),
    (_unique_index, "cost_tracking, index ix_cost_tracking_flow: unique"),
    (_further_index, "cost_tracking, index ix_further"),
    (_unique, "cost_tracking, index uq_further: unique"),
    (_foreign_key, "cost_tracking, foreign key fk_x: to schedules"),
]


_migrated: dict[str, str] = {}


@pytest.fixture
async def migrated(databases: Databases, target: str) -> str:
    """A database with the schema, made once, since that takes seconds; each test replaces one table."""
    if target not in _migrated:
        url = await databases.empty(target, for_run=True)
        await schema.upgrade(url)
        _migrated[target] = url
    return _migrated[target]


async def _replace(url: str, change: Change) -> None:
    """Drop a table, and create it with a change."""
    engine = create_engine(url)
    ours = metadata.tables[PLAIN]
    columns = {column.name: Column(column.name, column.type, nullable=column.nullable) for column in ours.c}
    others: list[Any] = [Index(index.name, *index.columns.keys()) for index in ours.indexes]
    change(columns, others)
    drifted = MetaData()
    for name in ("tenant_id", "id"):
        columns[name].primary_key = True
    metadata.tables["schedules"].to_metadata(drifted)
    table = Table(PLAIN, drifted, *columns.values(), *others, mysql_engine="InnoDB", mysql_charset="utf8mb4")
    async with engine.begin() as connection:
        await connection.run_sync(ours.drop, checkfirst=True)  # another test may have failed to create it
        await connection.run_sync(table.create)
    await engine.dispose()


@pytest.mark.not_on("oracle-double-12.1", "its dictionary is that of 23ai")
async def test_without_a_planted_difference_none_is_found(migrated: str) -> None:
    await _replace(migrated, lambda _columns, _others: None)
    assert await schema.differences(migrated) == []


@pytest.mark.not_on("oracle-double-12.1", "its dictionary is that of 23ai")
@pytest.mark.parametrize(("change", "line"), PLANTED, ids=[change.__name__[1:] for change, _ in PLANTED])
async def test_a_planted_difference_is_found(migrated: str, change: Change, line: str) -> None:
    await _replace(migrated, change)
    found = await schema.differences(migrated)
    assert any(difference.startswith(line) for difference in found), found
    assert all(difference.startswith("cost_tracking") for difference in found)


PRECISION = {
    "postgresql": postgresql.TIMESTAMP(timezone=True, precision=3),
    "mysql": mysql.DATETIME(fsp=3),
    "mariadb": mysql.DATETIME(fsp=3),
}
PRECISION["citus"] = PRECISION["postgresql"]
TRIGGER = {
    "sqlite": ["CREATE TRIGGER odd AFTER INSERT ON traces BEGIN DELETE FROM traces; END"],
    "postgresql": [
        "CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER odd BEFORE INSERT ON traces FOR EACH ROW EXECUTE FUNCTION odd()",
    ],
    "mysql": ["CREATE TRIGGER odd BEFORE INSERT ON traces FOR EACH ROW SET NEW.status = ''"],
}
TRIGGER["mariadb"] = TRIGGER["mysql"]
TRIGGER["citus"] = TRIGGER["postgresql"]


@pytest.mark.not_on("sqlite", "its timestamps have no precision")
@pytest.mark.not_on("oracle", "SQLAlchemy does not reflect the precision of its timestamps")
async def test_a_timestamp_with_less_precision_is_found(migrated: str, target: str) -> None:
    def change(columns: dict[str, Column[Any]], _others: list[Any]) -> None:
        columns["timestamp_utc"] = Column("timestamp_utc", PRECISION[target], nullable=False)

    await _replace(migrated, change)
    [line] = await schema.differences(migrated)
    assert line.startswith("cost_tracking.timestamp_utc: ")


@pytest.mark.not_on("oracle", "triggers are not compared there")
async def test_a_trigger_is_found(url: str, target: str) -> None:
    await schema.upgrade(url)
    engine = create_engine(url)
    async with engine.begin() as connection:
        for statement in TRIGGER[target]:
            await connection.exec_driver_sql(statement)
    await engine.dispose()
    [line] = await schema.differences(url)
    assert line.startswith("traces, trigger odd")


UNSAFE = {
    "postgresql": ("ALTER TABLE audit_log SET UNLOGGED", "audit_log, table, state: not logged, so a crash empties it"),
    "mariadb": ("ALTER TABLE audit_log ENGINE = Aria", "audit_log, storage engine: Aria"),
    "mysql": ("ALTER TABLE audit_log ENGINE = MyISAM", "audit_log, storage engine: MyISAM"),
}
"""A statement after which a table no longer keeps what was committed, and how the comparison describes it."""
UNSAFE["citus"] = UNSAFE["postgresql"]


@pytest.mark.not_on("sqlite", "all its tables are stored in the same way")
@pytest.mark.not_on("oracle", "its other kinds of tables are not compared")
async def test_a_table_that_does_not_keep_commits_is_found(url: str, target: str) -> None:
    await schema.upgrade(url)
    statement, expected = UNSAFE[target]
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(statement)
    await engine.dispose()
    [line] = await schema.differences(url)
    assert line.startswith(expected)


@pytest.mark.not_on("oracle", "a descending index is an index on an expression there")
async def test_a_descending_index_is_found(url: str) -> None:
    await schema.upgrade(url)
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(next(i for i in metadata.tables["traces"].indexes if i.name == "ix_traces_flow").drop)
        await connection.exec_driver_sql(
            "CREATE INDEX ix_traces_flow ON traces (tenant_id, flow_name, created_id DESC)"
        )
    await engine.dispose()
    assert any("ix_traces_flow" in line for line in await schema.differences(url))


@pytest.mark.fails_on("oracle-double", "its dictionary has no check constraints")
async def test_a_check_constraint_is_found(migrated: str) -> None:
    await _replace(migrated, _check)
    assert any(line.startswith("cost_tracking, check ck_further") for line in await schema.differences(migrated))


async def test_an_invalid_index_of_an_interrupted_build_is_found(url: str, target: str) -> None:
    if target != "postgresql":
        pytest.skip("PostgreSQL alone leaves one behind")
    await schema.upgrade(url)
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_traces_flow'::regclass"
        )
    await engine.dispose()
    lines = await schema.differences(url)
    assert lines
    assert all("index ix_traces_flow" in line for line in lines)
    await schema.stamp(url, "0001")
    await schema.upgrade(url)  # which builds it again
    assert await schema.differences(url) == []


@pytest.mark.not_on("oracle", "its columns have no collation")
async def test_another_collation_is_found(migrated: str, target: str) -> None:
    def change(columns: dict[str, Column[Any]], _others: list[Any]) -> None:
        columns["backend"] = Column("backend", String(255, collation=COLLATION[target]), nullable=False)

    await _replace(migrated, change)
    [line] = await schema.differences(migrated)
    assert COLLATION[target] in line


async def test_a_missing_table_is_found_and_a_hosts_own_table_is_not(url: str) -> None:
    await schema.upgrade(url)
    engine = create_engine(url)
    host = Table("host_application", MetaData(), Column("id", Identifier(9), primary_key=True))
    async with engine.begin() as connection:
        await connection.run_sync(metadata.tables["schedules"].drop)
        await connection.run_sync(host.create)
    await engine.dispose()
    lines = await schema.differences(url)
    assert lines
    assert all(line.startswith("schedules") and ": missing, not " in line for line in lines)
