"""Hand-written SQL: without a tenant, or with another one, no statement sees or changes a row of a tenant."""

from typing import Any

import pytest
from sqlalchemy import Column, Table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from axon_storage import SessionRow, SqlRepository, create_engine
from axon_storage.model.rows import ROW_TYPES
from axon_storage.sql.tables import metadata
from axon_storage.sql.types import Flag, Identifier, JsonDocument, LongText, RowId, UtcTimestamp
from axon_storage.testing.samples import sample
from tests.row_security.secured import Secured, name_tenants

TABLES = metadata.sorted_tables

CHANGES = ("SELECT * FROM {}", "UPDATE {} SET tenant_id = tenant_id", "DELETE FROM {}")

PERMITTED = {"42501": "insufficient_privilege: a policy refuses the row"}
UNNAMED = {"42704": "undefined_object: the setting", "22P02": "invalid_text_representation: the setting is no array"}


@pytest.fixture
async def filled(secured: Secured) -> Secured:
    """The secured database, with a row of the tenant acme in each table."""
    engine = create_engine(secured.superuser, pool_size=1)
    repository = SqlRepository(engine).for_tenant("acme")
    await repository.save_many([sample(row_type, "acme") for row_type in ROW_TYPES])
    async with engine.begin() as connection:
        for name in ("axon_storage_pruning", "axon_storage_audit_seals"):
            await connection.execute(text(_insert(metadata.tables[name], "acme", 1)))
    await engine.dispose()
    return secured


def _insert(table: Table, tenant: str, number: int) -> str:
    """Return an INSERT of a row with a value in each required column."""
    values = {column.name: _literal(column, number) for column in table.c if not column.nullable}
    values["tenant_id"] = f"'{tenant}'"
    return f"INSERT INTO {table.name} ({', '.join(values)}) VALUES ({', '.join(values.values())})"


def _literal(column: Column[Any], number: int) -> str:
    match column.type:
        case Identifier() | LongText() | JsonDocument():
            return f"'{number}'"
        case RowId():
            return "gen_random_uuid()"
        case UtcTimestamp():
            return "now()"
        case Flag():
            return "true"
    return str(number)


@pytest.fixture(params=["owner", "whole"])
def account(request: pytest.FixtureRequest, filled: Secured) -> str:
    """The owner of the tables, and an application with every right on their rows."""
    return str(getattr(filled, request.param))


async def _outcome(connection: AsyncConnection, statement: str) -> str | int:
    """Return the code of an error, or the number of rows."""
    nested = await connection.begin_nested()
    try:
        return (await connection.execute(text(statement))).rowcount
    except DBAPIError as error:
        return str(getattr(error.orig, "sqlstate", ""))
    finally:
        await nested.rollback()


async def _outcomes(account: str, *tenants: str, again: bool = False) -> dict[tuple[str, str], str | int]:
    """Run each verb on each table, in a transaction that has named some tenants. ``again``: in a later one."""
    engine, found = create_engine(account, pool_size=1), dict[tuple[str, str], str | int]()
    async with engine.connect() as connection:
        if again:
            await name_tenants(connection, "acme")
            await connection.rollback()
        if tenants:
            await name_tenants(connection, *tenants)
        for table in TABLES:
            for statement in CHANGES:
                key = (table.name, statement.partition(" ")[0])
                found[key] = await _outcome(connection, statement.format(table.name))
            found[table.name, "INSERT"] = await _outcome(connection, _insert(table, "acme", 99))
    await engine.dispose()
    return found


@pytest.mark.parametrize("again", [False, True], ids=["at first", "after a transaction that had a tenant"])
async def test_without_a_tenant_every_statement_fails(account: str, again: bool) -> None:
    found = await _outcomes(account, again=again)
    assert len(found) == 4 * len(TABLES)
    assert {key: code for key, code in found.items() if code not in UNNAMED} == {}


async def test_with_another_tenant_nothing_is_seen_or_changed(account: str) -> None:
    found = await _outcomes(account, "other", "acm", "acme2")
    inserts = {key: code for key, code in found.items() if key[1] == "INSERT"}
    assert {key: code for key, code in inserts.items() if code not in PERMITTED} == {}
    assert {key: rows for key, rows in found.items() if key not in inserts and rows != 0} == {}


async def test_with_its_tenant_every_row_is_seen_and_changed(filled: Secured) -> None:
    found = await _outcomes(filled.owner, "other", "acme")
    assert {key: rows for key, rows in found.items() if rows != 1} == {}


async def test_a_row_cannot_be_given_to_another_tenant(account: str) -> None:
    engine = create_engine(account, pool_size=1)
    async with engine.connect() as connection:
        await name_tenants(connection, "acme")
        for table in TABLES:
            assert await _outcome(connection, f"UPDATE {table.name} SET tenant_id = 'other'") in PERMITTED, table.name
    await engine.dispose()


async def test_a_statement_outside_of_a_transaction_does_not_slip_past(account: str) -> None:
    engine = create_engine(account, pool_size=1).execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await name_tenants(connection, "acme")  # ends with its statement
        for table in TABLES:
            with pytest.raises(DBAPIError, match="malformed array literal"):
                await connection.execute(text(f"SELECT * FROM {table.name}"))
    await engine.dispose()


async def test_maintenance_sees_every_tenant(filled: Secured) -> None:
    async with SqlRepository(create_engine(filled.maintenance)) as repository:
        await repository.for_tenant("other").save_session(sample(SessionRow, "other"))
        assert await repository.tenant_ids() == ["acme", "other"]
        assert {table.rows for table in (await repository.stats()).tables} == {1, 2}
