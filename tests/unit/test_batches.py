"""Batches: several prepared writes in one unit of work."""

from axon_storage import EventRow, Recorded, Row, SessionRow, TraceRow, new_id
from axon_storage.dialects import of_scheme
from axon_storage.model.ids import timestamp_of
from axon_storage.model.requests import Save
from axon_storage.model.validation import validate_row
from axon_storage.sql.compiler import Compiler
from axon_storage.sql.tables import CREATED_ID
from axon_storage.sql.writes import PreparedWrite
from axon_storage.testing.samples import sample


def _prepared(compiler: Compiler, row: TraceRow | SessionRow) -> PreparedWrite[None]:
    checked = validate_row(row, type(row), row.tenant_id)
    return compiler.prepare(Save(operation="save", tenant=row.tenant_id, rows=[checked]))


def test_a_batch_does_not_change_its_writes() -> None:
    compiler = Compiler(of_scheme("sqlite"))
    first, last = (_prepared(compiler, sample(TraceRow)) for _ in range(2))
    before = [dict(write.saves[0].values) for write in (first, last)]
    assert before[0][CREATED_ID] < before[1][CREATED_ID]
    compiler.batch([first, last])
    assert [write.saves[0].values for write in (first, last)] == before


def test_the_row_keys_of_recorded_rows_take_part_in_the_order_of_writes() -> None:
    compiler, row_id = Compiler(of_scheme("sqlite")), new_id()
    recorded = validate_row(Recorded(row_id, timestamp_of(row_id), sample(EventRow)), Row, "default")
    new = validate_row(sample(EventRow), Row, "default")
    write = compiler.prepare(Save(operation="save", tenant="default", rows=[new, recorded]))
    assert write.row_keys == {("event_history", ("default", row_id.int))}
