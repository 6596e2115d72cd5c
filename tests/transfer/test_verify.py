"""The comparison finds and names each single difference, and shows no value."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import literal, select, text, update

from axon_storage import CostRow, InvalidArgumentError, SessionRow, SqlRepository, TraceRow
from axon_storage.model.rows import ROW_TYPES, Row
from axon_storage.sql.tables import TABLES
from axon_storage.sql.transfer import key_columns, whole_table
from axon_storage.sql.types import Identifier, UtcTimestamp
from axon_storage.testing.samples import sample
from axon_storage.transfer import Difference, copy, verify

CHANGEABLE = [
    (row_type, column.name) for row_type in ROW_TYPES for column in TABLES[row_type].c if not column.primary_key
]
TENANT = "acme ☕'"


@pytest.fixture
async def pair(repository: SqlRepository, other: SqlRepository) -> tuple[SqlRepository, SqlRepository]:
    """Two databases with the same rows: three of each type, of two tenants."""
    for tenant in ("default", TENANT):
        view = other.for_tenant(tenant)
        for number in range(3):
            for row_type in ROW_TYPES:
                await view.save_many([_numbered(row_type, tenant, number)])
    await copy(other, repository)
    assert (await verify(other, repository)).is_equal
    return other, repository


def _numbered(row_type: type[Row], tenant: str, number: int) -> Row:
    key: dict[str, Any] = {}
    if row_type.KEY:
        key[row_type.KEY[-1]] = number if row_type is TraceRow else str(number)
    return sample(row_type, tenant, **key)


async def _rows(repository: SqlRepository, row_type: type[Row]) -> list[Any]:
    table = whole_table(row_type)
    order = [table.c[name] for name in key_columns(row_type)]
    async with repository.engine.connect() as connection:
        query = select(table).where(table.c.tenant_id == TENANT).order_by(*order)
        return list((await connection.execute(query)).all())


def _key(row_type: type[Row], row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in key_columns(row_type)}


async def test_each_changed_value_is_found_and_its_column_named(pair: tuple[SqlRepository, SqlRepository]) -> None:
    source, target = pair
    for row_type, name in CHANGEABLE:
        table, rows = whole_table(row_type), await _rows(source, row_type)
        key = _key(row_type, rows[1])
        others = [row for row in rows if getattr(row, name) != getattr(rows[1], name)]
        value = getattr(rows[1], name)
        changed = getattr(others[0], name) if others else _other(value, table.c[name].type)
        row_is = [table.c.tenant_id == TENANT, *(table.c[column] == key[column] for column in key)]
        for new in (changed, value):
            async with target.engine.begin() as connection:
                await connection.execute(update(table).where(*row_is).values({name: literal(new, table.c[name].type)}))
            result = await verify(source, target)
            expected = Difference(table=row_type.TABLE, tenant=TENANT, key=key, reason="differs", columns=(name,))
            assert result.first_differences == (() if new is value else (expected,)), name
            assert result.is_equal == (new is value)


def _other(value: Any, kind: Any) -> Any:
    """Return another value of a column's type. JSON is compared as text, so that a space is a difference."""
    match value:
        case None:
            of_kind: dict[type, Any] = {UtcTimestamp: datetime.now(UTC), Identifier: ""}
            return of_kind.get(type(kind), 0)
        case bool():
            return not value
        case int() | float():
            return value + 1
        case datetime():
            return value + timedelta(microseconds=1)
        case _:
            return f"{value} "


async def test_each_missing_and_each_extra_row_is_found_and_named(
    pair: tuple[SqlRepository, SqlRepository],
) -> None:
    source, target = pair
    for row_type in ROW_TYPES:
        table = whole_table(row_type)
        for row in await _rows(source, row_type):
            key = _key(row_type, row)
            row_is = [table.c.tenant_id == TENANT, *(table.c[column] == key[column] for column in key)]
            async with target.engine.begin() as connection:
                await connection.execute(table.delete().where(*row_is))
            for left, right, reason in ((source, target, "missing in target"), (target, source, "only in target")):
                result = await verify(left, right)
                assert not result.is_equal
                assert result.first_differences == (
                    Difference(table=row_type.TABLE, tenant=TENANT, key=key, reason=reason),
                )
            await copy(source, target)


async def test_the_digests_are_equal_if_and_only_if_the_values_are(pair: tuple[SqlRepository, SqlRepository]) -> None:
    source, target = pair
    result = await verify(source, target)
    assert len(result.comparisons) == 2 * len(ROW_TYPES)
    assert result.rows == 6 * len(ROW_TYPES)
    assert all(each.source_digest == each.target_digest for each in result.comparisons)
    await target.save_session(sample(SessionRow, key="1", source_step="other"))
    [differs] = [each for each in (await verify(source, target)).comparisons if not each.is_equal]
    assert differs.source_digest != differs.target_digest
    assert (differs.table, differs.tenant, differs.differences) == ("sessions", "default", 1)


async def test_adjacent_values_and_types_are_not_confused(other: SqlRepository, empty: SqlRepository) -> None:
    pairs: list[tuple[Row, Row]] = [
        (sample(SessionRow, value="ab", source_step="c"), sample(SessionRow, value="a", source_step="bc")),
        (sample(SessionRow, value='","'), sample(SessionRow, value="\n")),
        (sample(TraceRow, correlation_id=None), sample(TraceRow, correlation_id="")),
        (sample(TraceRow, correlation_id="null"), sample(TraceRow, correlation_id=None)),
        (sample(TraceRow, events=1), sample(TraceRow, events=1.0)),
        (sample(TraceRow, events={"a": 1, "b": 2}), sample(TraceRow, events={"b": 2, "a": 1})),
        (sample(TraceRow, latency_ms=2**64 - 1), sample(TraceRow, latency_ms=2**63 - 1)),
    ]
    for one, two in pairs:
        await other.save_many([one])
        await empty.save_many([one])
        await copy(other, empty)
        assert (await verify(other, empty)).is_equal
        await empty.save_many([two])
        assert not (await verify(other, empty)).is_equal


@pytest.mark.parametrize(("one", "two"), [("0.1", "0.10000000000000002"), ("9e999", "-9e999")])
async def test_floats_that_differ_in_a_bit_are_found(
    other: SqlRepository, empty: SqlRepository, one: str, two: str
) -> None:
    await other.record_cost(sample(CostRow))
    await copy(other, empty)
    for value, is_equal in ((one, True), (two, False)):
        for storage, stored in ((other, one), (empty, value)):
            async with storage.engine.begin() as connection:
                await connection.execute(text(f"UPDATE cost_tracking SET cost_usd = {stored}"))  # infinities too
        result = await verify(other, empty)
        assert result.is_equal == is_equal
    [difference] = result.first_differences
    assert difference.columns == ("cost_usd",)


async def test_a_tenant_that_neither_side_has_is_refused(other: SqlRepository, empty: SqlRepository) -> None:
    await other.for_tenant("acme").save_session(sample(SessionRow, "acme"))
    for tenants in (["typo"], ["acme", "typo"]):
        with pytest.raises(InvalidArgumentError, match="no rows of tenant 'typo'"):
            await verify(other, empty, tenants=tenants)
    assert not (await verify(empty, other, tenants=["acme"])).is_equal


async def test_databases_without_rows_are_equal_without_comparisons(other: SqlRepository, empty: SqlRepository) -> None:
    for result in (await verify(other, empty), await verify(other.for_tenant("z"), empty)):
        assert (result.is_equal, result.comparisons) == (True, ())


async def test_the_result_shows_no_value(other: SqlRepository, empty: SqlRepository) -> None:
    await other.save_session(sample(SessionRow, value="hunter2"))
    assert "hunter2" not in repr(await verify(other, empty))
    await empty.save_session(sample(SessionRow, value="hunter3"))
    assert "hunter" not in repr(await verify(other, empty))


async def test_pages_that_end_elsewhere_are_compared_row_by_row(other: SqlRepository, empty: SqlRepository) -> None:
    await other.save_many(sample(SessionRow, key=str(number), value="é" * 2_000) for number in range(2_500))
    await copy(other, empty)
    await empty.save_many(sample(SessionRow, key=str(number), value="é" * 20_000) for number in range(0, 900, 100))
    result = await verify(other, empty)
    assert [(each.differences, each.source_rows) for each in result.comparisons] == [(9, 2_500)]
