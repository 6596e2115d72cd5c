"""The linter finds each planted fault, and none in the tables and statements of this package."""

import pytest
from sqlalchemy import CLOB, Column, Index, Integer, MetaData, String, Table

from axon_storage.sql.tables import metadata
from tests.oracle.linter import lint_metadata, lint_sql


def _planted(*items: Column[object] | Index, name: str = "t") -> list[str]:
    planted = MetaData(naming_convention={"pk": "pk_%(table_name)s"})
    Table(name, planted, Column("id", Integer, primary_key=True), *items)
    return lint_metadata(planted)


def test_the_linter_finds_no_fault_in_the_tables() -> None:
    assert lint_metadata(metadata) == []


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (_planted(name="t" * 28), "pk_tttttttttttttttttttttttttttt: 31 bytes in a name, at most 30"),
        (_planted(name="session"), "session: a reserved word"),
        (_planted(Column("é" * 16, Integer)), "éééééééééééééééé: 32 bytes in a name, at most 30"),
        (_planted(Column("level", Integer)), "level: a reserved word"),
        (_planted(Column("wide", String(1001))), "t.wide: 4004 bytes in a VARCHAR2, at most 4000"),
        (
            _planted(Column("a", String(900)), Column("b", String(900)), Index("ix", "a", "b")),
            "ix: 7200 bytes in a key",
        ),
        (_planted(Column("document", CLOB), Index("ix", "document")), "ix: a CLOB cannot be indexed"),
    ],
)
def test_a_fault_in_a_table_is_found(found: list[str], fault: str) -> None:
    assert any(line.startswith(fault) for line in found), found


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT scope FROM sessions WHERE value = :value",
        "SELECT s.scope FROM sessions s WHERE :x < (s.value)",
        "SELECT scope FROM sessions WHERE value IN ('a', 'b')",
        "SELECT scope FROM sessions WHERE (scope, value) IN (('a', 'b'))",
        "SELECT scope FROM sessions WHERE value BETWEEN 'a' AND 'b'",
        "SELECT scope FROM sessions WHERE upper(value) = 'A' OR value || 'x' = 'x'",
        "SELECT min(value) FROM sessions",
        "SELECT value FROM sessions ORDER BY value DESC",
        "SELECT count(*) FROM sessions GROUP BY value",
        "SELECT row_number() OVER (PARTITION BY value ORDER BY scope) FROM sessions",
        "SELECT CASE value WHEN 'a' THEN 1 END FROM sessions",
        "MERGE INTO sessions t USING (SELECT :a AS value FROM dual) s ON (t.value = s.value) "
        "WHEN MATCHED THEN UPDATE SET source_step = 'a'",
    ],
)
def test_a_clob_that_is_compared_or_sorted_is_found(sql: str) -> None:
    assert "value: a CLOB may only be read or written whole" in lint_sql(sql, metadata)


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("SELECT DISTINCT topic, payload AS p FROM event_history", "a CLOB cannot be made distinct"),
        ("SELECT DISTINCT * FROM event_history", "a CLOB cannot be made distinct"),
        ("SELECT value FROM sessions UNION SELECT value FROM sessions", "a CLOB cannot be made distinct"),
        (f"SELECT :{'b' * 31} FROM dual", f"{'b' * 31}: 31 bytes in a name, at most 30"),
        ("SELECT topic AS level FROM event_history", "level: a reserved word"),
        (f"DELETE FROM traces WHERE trace_id IN ({', '.join(['1'] * 1001)})", "1001 members in a list, at most 1000"),
    ],
)
def test_a_fault_in_a_statement_is_found(sql: str, fault: str) -> None:
    assert fault in lint_sql(sql, metadata)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE sessions SET value = :value WHERE scope = 'a'",
        "INSERT INTO sessions (scope, value) VALUES (:scope, :value)",
        "MERGE INTO sessions t USING (SELECT :scope AS scope, :value AS value FROM dual) s ON (t.scope = s.scope) "
        "WHEN MATCHED THEN UPDATE SET value = s.value "
        "WHEN NOT MATCHED THEN INSERT (scope, value) VALUES (s.scope, s.value)",
        "SELECT value FROM sessions UNION ALL SELECT value FROM sessions",
        "SELECT value AS v FROM sessions WHERE value IS NULL ORDER BY scope",
        f"DELETE FROM traces WHERE trace_id IN ({', '.join(['1'] * 1000)})",
    ],
)
def test_what_oracle_allows_is_no_fault(sql: str) -> None:
    assert lint_sql(sql, metadata) == []
