"""PostgreSQL's batches: one message with an array a column, whatever the row type."""

from typing import Any

import pytest

from axon_storage import create_engine
from axon_storage.dialects.postgresql import PostgreSQL
from axon_storage.rows import ROW_TYPES, Row, fields_of
from axon_storage.statements import save


class Cursor:
    """Notes what it is asked to run."""

    def __init__(self) -> None:
        self.run: list[tuple[str, list[Any]]] = []

    def execute(self, statement: str, parameters: list[Any]) -> None:
        self.run.append((statement, parameters))


@pytest.mark.parametrize("row_type", ROW_TYPES)
def test_a_batch_of_any_row_type_is_one_statement_of_arrays(row_type: type[Row]) -> None:
    dialect, cursor = PostgreSQL(), Cursor()
    statement = str(save(dialect, row_type).compile(dialect=create_engine("postgresql://user@host/name").dialect))  # type: ignore[attr-defined]  # an Insert
    width = statement.count("::")
    assert width > len(fields_of(row_type)) - 1
    assert dialect.executemany(cursor, statement, [(number,) * width for number in range(3)])
    [(arrays, columns)] = cursor.run
    assert (arrays.count("[]"), arrays.count("VALUES"), arrays.count("COLLATE")) == (width, 0, 0)
    assert columns == [[0, 1, 2]] * width


def test_any_other_batch_is_left_to_the_driver() -> None:
    cursor = Cursor()
    assert not PostgreSQL().executemany(cursor, "DELETE FROM traces WHERE trace_id = $1::BIGINT", [(1,), (2,)])
    assert cursor.run == []
