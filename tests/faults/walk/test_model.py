"""The model objects to what breaks a promise, and to nothing that a database may do."""

from itertools import count

from tests.faults.walk.ledger import Call, Ledger, Outcome, Read, Removal, Write
from tests.faults.walk.model import Model

ROW, OTHER = "session/0", "session/1"


class History:
    """A ledger that is written by hand; times are small numbers."""

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

    def block(self, value: str, start: int, held: int, end: int, outcome: Outcome = "stored") -> None:
        call = self.write(value, start, end, outcome=outcome)
        call.kind, call.writes[0].end = "block", held

    def delete(self, start: int, end: int, found: int) -> None:
        call = self.write(None, start, end)
        self.ledger.removals.append(Removal(0, call.number, start, end, [ROW], found))

    def read(self, start: int, end: int, value: str | None, **others: str | None) -> None:
        rows = {ROW: value, **({OTHER: others["other"]} if others else {})}
        self.ledger.reads.append(Read(0, start, end, "session", rows, whole=False))

    @property
    def broken(self) -> set[str]:
        return {violation.promise for violation in Model(self.ledger).violations()}


def test_a_write_that_returned_and_is_not_there_is_lost() -> None:
    history = History()
    history.write("a", 10, 20)
    history.read(30, 40, None)
    assert history.broken == {"P1"}


def test_a_write_that_is_under_way_may_show_or_not() -> None:
    history = History()
    history.write("a", 10, 50)
    history.read(20, 25, None)
    history.read(30, 40, "a")
    assert history.broken == set()


def test_what_was_seen_does_not_go_away() -> None:
    history = History()
    history.write("a", 10, 50)
    history.read(20, 25, "a")
    history.read(30, 40, None)
    assert history.broken == {"P1"}


def test_a_value_that_nobody_wrote_is_objected_to() -> None:
    history = History()
    history.write("a", 10, 20)
    history.read(30, 40, "b")
    assert history.broken == {"P1"}


def test_the_older_of_two_calls_that_overlap_must_not_win() -> None:
    history = History()
    history.write("old", 10, 40)
    history.write("new", 20, 30)
    history.read(50, 60, "old")
    assert history.broken == {"P2"}


def test_calls_of_two_processes_that_overlap_may_take_effect_in_either_order() -> None:
    history = History()
    history.write("old", 10, 40)
    history.write("new", 20, 30, process=1)
    history.read(50, 60, "old")
    assert history.broken == set()


def test_a_block_and_a_call_outside_that_overlap_may_take_effect_in_either_order() -> None:
    history = History()
    history.write("outside", 10, 40)
    history.block("block", 20, 25, 30)
    history.read(50, 60, "outside")
    assert history.broken == set()


def test_a_save_called_after_a_blocks_write_had_returned_comes_after_the_block() -> None:
    history = History()
    history.block("block", 10, 20, 60)
    history.write("outside", 30, 70)
    history.read(80, 90, "block")
    assert history.broken == {"P2"}


def test_a_write_that_was_given_up_does_not_replace_a_later_one() -> None:
    history = History()
    history.write("given up", 10, 20, outcome="open")
    history.block("later", 30, 35, 40)
    history.read(50, 60, "given up")
    assert history.broken == {"P3"}


def test_a_write_that_was_given_up_is_not_stored_later() -> None:
    history = History()
    history.write("given up", 10, 20, outcome="open")
    history.read(30, 40, None)
    history.read(50, 60, "given up")
    assert history.broken == {"P3"}


def test_a_write_that_was_given_up_may_be_stored_or_not() -> None:
    for value in (None, "given up"):
        history = History()
        history.write("given up", 10, 20, outcome="open")
        history.read(30, 40, value)
        history.read(50, 60, value)
        assert history.broken == set()


def test_a_block_that_raised_leaves_nothing() -> None:
    history = History()
    history.block("block", 10, 20, 30, outcome="never")
    history.read(40, 50, "block")
    assert history.broken == {"P4"}


def test_a_read_does_not_show_half_of_a_transaction() -> None:
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


def test_a_delete_may_count_a_row_that_is_saved_meanwhile_or_not() -> None:
    for found in (0, 1):
        history = History()
        history.write("a", 10, 50, process=1)
        history.delete(30, 40, found)
        assert history.broken == set()


def test_a_row_that_was_deleted_stays_away() -> None:
    history = History()
    history.write("a", 10, 20)
    history.delete(30, 40, 1)
    history.read(50, 60, "a")
    assert history.broken == {"P1"}
