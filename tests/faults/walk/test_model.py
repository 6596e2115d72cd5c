"""The model reports each broken promise, and nothing that a correct database may do."""

from itertools import count

from tests.faults.walk.ledger import Call, Ledger, Outcome, Read, Removal, Write
from tests.faults.walk.model import Model

ROW, OTHER = "session/0", "session/1"


class History:
    """A ledger written by hand; times are small numbers."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self._numbers = count(1)

    def write(
        self, value: str | None, start: int, end: int, *rows: str, outcome: Outcome = "stored", process: int = 0
    ) -> Call:
        call = Call(process, next(self._numbers), "save", start, end, outcome)
        call.writes = [Write(row, value, start) for row in rows or [ROW]]
        self.ledger.calls.append(call)
        return call

    def transaction(self, value: str, start: int, held: int, end: int, outcome: Outcome = "stored") -> None:
        call = self.write(value, start, end, outcome=outcome)
        call.kind, call.writes[0].end = "transaction", held

    def delete(self, start: int, end: int, found: int) -> None:
        call = self.write(None, start, end)
        self.ledger.removals.append(Removal(0, call.number, start, end, [ROW], found))

    def read(self, start: int, end: int, value: str | None, **others: str | None) -> None:
        rows = {ROW: value, **({OTHER: others["other"]} if others else {})}
        self.ledger.reads.append(Read(0, start, end, "session", rows, whole=False))

    @property
    def broken(self) -> set[str]:
        return {violation.promise for violation in Model(self.ledger).violations()}


def test_a_write_that_returned_and_is_missing_is_a_violation() -> None:
    history = History()
    history.write("a", 10, 20)
    history.read(30, 40, None)
    assert history.broken == {"P1"}


def test_a_write_in_progress_may_be_visible_or_not() -> None:
    history = History()
    history.write("a", 10, 50)
    history.read(20, 25, None)
    history.read(30, 40, "a")
    assert history.broken == set()


def test_a_value_that_was_read_does_not_disappear() -> None:
    history = History()
    history.write("a", 10, 50)
    history.read(20, 25, "a")
    history.read(30, 40, None)
    assert history.broken == {"P1"}


def test_a_value_that_no_call_wrote_is_a_violation() -> None:
    history = History()
    history.write("a", 10, 20)
    history.read(30, 40, "b")
    assert history.broken == {"P1"}


def test_of_two_overlapping_calls_of_a_process_the_later_one_wins() -> None:
    history = History()
    history.write("old", 10, 40)
    history.write("new", 20, 30)
    history.read(50, 60, "old")
    assert history.broken == {"P2"}


def test_overlapping_calls_of_two_processes_may_take_effect_in_either_order() -> None:
    history = History()
    history.write("old", 10, 40)
    history.write("new", 20, 30, process=1)
    history.read(50, 60, "old")
    assert history.broken == set()


def test_a_transaction_and_an_overlapping_call_may_take_effect_in_either_order() -> None:
    history = History()
    history.write("outside", 10, 40)
    history.transaction("transaction", 20, 25, 30)
    history.read(50, 60, "outside")
    assert history.broken == set()


def test_a_save_called_after_a_write_inside_a_transaction_comes_after_the_transaction() -> None:
    history = History()
    history.transaction("transaction", 10, 20, 60)
    history.write("outside", 30, 70)
    history.read(80, 90, "transaction")
    assert history.broken == {"P2"}


def test_a_failed_write_does_not_replace_a_later_one() -> None:
    history = History()
    history.write("failed", 10, 20, outcome="open")
    history.transaction("later", 30, 35, 40)
    history.read(50, 60, "failed")
    assert history.broken == {"P3"}


def test_a_failed_write_is_not_stored_later() -> None:
    history = History()
    history.write("failed", 10, 20, outcome="open")
    history.read(30, 40, None)
    history.read(50, 60, "failed")
    assert history.broken == {"P3"}


def test_a_failed_write_may_be_stored_or_not() -> None:
    for value in (None, "failed"):
        history = History()
        history.write("failed", 10, 20, outcome="open")
        history.read(30, 40, value)
        history.read(50, 60, value)
        assert history.broken == set()


def test_a_transaction_that_raised_stores_nothing() -> None:
    history = History()
    history.transaction("transaction", 10, 20, 30, outcome="never")
    history.read(40, 50, "transaction")
    assert history.broken == {"P4"}


def test_a_read_shows_all_of_a_transaction_or_nothing() -> None:
    history = History()
    history.write("both", 10, 50, ROW, OTHER)
    history.read(20, 30, "both", other=None)
    assert history.broken == {"P4"}


def test_two_reads_may_show_a_transaction_before_and_after_its_commit() -> None:
    history = History()
    history.write("both", 10, 50, ROW, OTHER)
    history.read(20, 30, None, other=None)
    history.read(25, 40, "both", other="both")
    assert history.broken == set()


def test_a_delete_counts_what_is_there() -> None:
    for found, broken in ((1, set()), (0, {"P1"})):
        history = History()
        history.write("a", 10, 20)
        history.delete(30, 40, found)
        assert history.broken == broken


def test_a_delete_may_count_a_row_saved_at_the_same_time_or_not() -> None:
    for found in (0, 1):
        history = History()
        history.write("a", 10, 50, process=1)
        history.delete(30, 40, found)
        assert history.broken == set()


def test_a_deleted_row_does_not_come_back() -> None:
    history = History()
    history.write("a", 10, 20)
    history.delete(30, 40, 1)
    history.read(50, 60, "a")
    assert history.broken == {"P1"}
