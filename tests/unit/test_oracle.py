"""Oracle's SQL, as far as compiling can show it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import oracle
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateTable

from axon_storage import CacheRow, EventRow, Row, SessionRow, TraceRow
from axon_storage.dialects import dialect_of
from axon_storage.dialects.oracle import escaped, unescaped
from axon_storage.rows import ROW_TYPES
from axon_storage.statements import evict, get, in_order, newest, next_scope, next_tenant, remove, save
from axon_storage.tables import TABLES

INNER: Dialect = oracle.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped
ORACLE = dialect_of(INNER)


def _sql(statement: Any) -> str:
    return " ".join(str(statement.compile(dialect=INNER)).split())


@given(st.text(), st.text())
def test_escaping_is_undone_keeps_the_order_and_leaves_no_empty_string(first: str, second: str) -> None:
    assert unescaped(escaped(first)) == first
    assert escaped(first) != ""
    assert (first < second) == (escaped(first) < escaped(second))


def test_a_save_is_a_merge() -> None:
    assert _sql(save(ORACLE, SessionRow)) == (
        "MERGE INTO sessions t USING (SELECT :tenant_id AS tenant_id, :scope AS scope, :key AS key, :value AS value, "
        ":source_step AS source_step FROM dual) s "
        "ON (t.tenant_id = s.tenant_id AND t.scope = s.scope AND t.key = s.key) "
        "WHEN MATCHED THEN UPDATE SET value = s.value, source_step = s.source_step "
        "WHEN NOT MATCHED THEN INSERT (tenant_id, scope, key, value, source_step) "
        "VALUES (s.tenant_id, s.scope, s.key, s.value, s.source_step)"
    )


def test_an_append_is_a_merge_that_changes_nothing() -> None:
    assert "WHEN MATCHED" not in _sql(save(ORACLE, EventRow))


def test_a_trace_saved_again_keeps_its_place() -> None:
    updates, _ = _sql(save(ORACLE, TraceRow)).split("WHEN NOT MATCHED")
    assert "created_id =" not in updates.partition("UPDATE SET")[2]


@pytest.mark.parametrize("row_type", ROW_TYPES)
def test_every_statement_and_table_compiles_without_quoted_names(row_type: type[Row]) -> None:
    statements: list[Any] = [save(ORACLE, row_type), next_tenant(first=False)]
    if row_type.KEY:
        statements += [
            get(row_type),
            in_order(row_type, ()),
            remove(ORACLE, row_type),
            next_scope(row_type, first=False),
        ]
    if row_type is CacheRow:
        statements.append(evict(ORACLE, row_type))
    if row_type is TraceRow or not row_type.KEY:
        statements.append(newest(ORACLE, row_type, (), skips=True))
    for sql in [*map(_sql, statements), str(CreateTable(TABLES[row_type]).compile(dialect=INNER))]:
        assert '"' not in sql
        assert "BOOLEAN" not in sql
        assert "JSON" not in sql
