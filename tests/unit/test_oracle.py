"""Oracle's SQL, as compiled without a database."""

from types import SimpleNamespace
from typing import Any

import oracledb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import oracle
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.schema import CreateTable

from axon_storage import CacheRow, EventRow, Row, SessionRow, StorageConnectionError, TraceRow, create_engine
from axon_storage.dialects import dialect_of
from axon_storage.engine.tls import split_tls
from axon_storage.model.rows import ROW_TYPES
from axon_storage.sql.distinct import distinct_values
from axon_storage.sql.statements import (
    delete,
    evict_expired,
    get,
    list_by_key,
    list_newest,
    save,
)
from axon_storage.sql.tables import TABLES
from axon_storage.testing.samples import characters

INNER: Dialect = oracle.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it
ORACLE = dialect_of(INNER)


def _sql(statement: Any) -> str:
    return " ".join(str(statement.compile(dialect=INNER)).split())


@given(st.text(characters), st.text(characters))
def test_escaped_strings_are_reversible_keep_their_order_and_are_never_empty(first: str, second: str) -> None:
    escaped = ORACLE.escape_string(first)
    assert ORACLE.unescape_string(escaped) == first
    assert escaped != ""
    assert (first < second) == (escaped < ORACLE.escape_string(second))


def test_a_save_is_a_merge() -> None:
    assert _sql(save(ORACLE, SessionRow)) == (
        "MERGE INTO sessions t USING (SELECT :tenant_id AS tenant_id, :scope AS scope, :key AS key, :value AS value, "
        ":source_step AS source_step, CAST(:updated_at AS TIMESTAMP) AS updated_at FROM dual) s "
        "ON (t.tenant_id = s.tenant_id AND t.scope = s.scope AND t.key = s.key) "
        "WHEN MATCHED THEN UPDATE SET value = s.value, source_step = s.source_step, updated_at = s.updated_at "
        "WHEN NOT MATCHED THEN INSERT (tenant_id, scope, key, value, source_step, updated_at) "
        "VALUES (s.tenant_id, s.scope, s.key, s.value, s.source_step, s.updated_at)"
    )


def test_an_append_is_a_merge_that_changes_nothing() -> None:
    assert "WHEN MATCHED" not in _sql(save(ORACLE, EventRow, keep=True))


def test_a_trace_saved_again_keeps_its_position() -> None:
    updates, _ = _sql(save(ORACLE, TraceRow)).split("WHEN NOT MATCHED")
    assert "created_id =" not in updates.partition("UPDATE SET")[2]


def _distinct(column: str, *bounds: str) -> Any:
    tables = tuple(table for table in TABLES.values() if column in table.c)
    return distinct_values(ORACLE, tables, column, bounds)


def _statements(row_type: type[Row]) -> list[Any]:
    statements: list[Any] = [
        CreateTable(TABLES[row_type]),
        save(ORACLE, row_type, keep=not row_type.KEY),
        _distinct("tenant_id", "above"),
    ]
    if row_type.KEY:
        statements += [
            get(row_type),
            list_by_key(row_type, ()),
            delete(ORACLE, row_type),
            _distinct(row_type.KEY[0], "above", "below"),
        ]
    if row_type is CacheRow:
        statements.append(evict_expired(ORACLE, row_type))
    if row_type is TraceRow or not row_type.KEY:
        statements.append(list_newest(ORACLE, row_type, (), has_offset=True))
    return statements


@pytest.mark.parametrize("row_type", ROW_TYPES)
def test_every_statement_and_table_compiles_without_quoted_names(row_type: type[Row]) -> None:
    for sql in map(_sql, _statements(row_type)):
        assert '"' not in sql
        assert "BOOLEAN" not in sql
        assert "JSON" not in sql


@pytest.mark.parametrize("row_type", ROW_TYPES)
def test_tables_and_statements_are_the_same_for_every_release(row_type: type[Row]) -> None:
    compiled = []
    for release in ((12, 1, 0, 2, 0), (23, 26, 0, 0, 0)):
        inner: Dialect = oracle.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it
        inner.server_version_info = release
        inner.max_identifier_length = 30 if release < (12, 2) else 128
        compiled.append([str(statement.compile(dialect=inner)) for statement in _statements(row_type)])
    assert compiled[0] == compiled[1]


def _driver_error(code: str, cause: BaseException | None = None) -> oracledb.Error:
    error = oracledb.OperationalError(SimpleNamespace(full_code=code))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "transient"),
    [
        (_driver_error("DPY-6005", ConnectionRefusedError()), "DPY-6005", True),
        (_driver_error("DPY-6005", _driver_error("DPY-6000")), "DPY-6000", True),
        (_driver_error("DPY-6005", _driver_error("DPY-6001")), "DPY-6001", False),
        (_driver_error("DPY-6005", _driver_error("DPY-3001")), "DPY-3001", False),
        (_driver_error("ORA-01017"), "ORA-01017", False),
        (_driver_error("DPY-4033"), "DPY-4033", True),
    ],
)
def test_a_failed_connection_has_the_error_of_its_reason(error: oracledb.Error, code: str, transient: bool) -> None:
    error_class = ORACLE.classify_error(error)
    assert (error_class.code, error_class.connection, error_class.transient) == (code, True, transient)


@pytest.mark.parametrize(("mode", "names"), [("require", False), ("verify-ca", False), ("verify-full", True)])
def test_tls_checks_the_host_name_only_if_the_url_asks_for_it(mode: str, names: bool) -> None:
    url, tls = split_tls(make_url(f"oracle://u:p@h/?service_name=s&sslmode={mode}"))
    seen = ORACLE.connect_arguments(url, 1.0, tls)[1]
    assert seen["protocol"] == "tcps"
    assert seen["ssl_server_dn_match"] is names


def test_sslmode_prefer_is_refused() -> None:
    with pytest.raises(StorageConnectionError, match="no optional TLS"):
        create_engine("oracle://u:p@h/?service_name=s&sslmode=prefer")
