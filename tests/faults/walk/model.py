"""Check a ledger against the promises: which values may each read find?

Each row is a register. Every stored value is unique, so a value identifies the call that wrote it. A write takes effect
at one moment between the start and the end of its call; if the call failed, it may also never take effect. A read shows
the last write that took effect at one moment between the read's start and end. The model knows none of these moments.
It reports a violation only if no choice of moments explains what was read:

- A read shows a value that no call wrote, that was rolled back, or whose call starts after the read has ended.
- A read shows write A, but write B certainly comes after A and certainly was in effect when the read started.
  B was certainly in effect if its call had returned, or an earlier read had shown any row of its transaction.
  B certainly comes after A in these cases:

  - A had ended, or had been read, when B started (P1, or P3 if A did not return).
  - Both are of one process and outside of transactions, and A was called first (P2).
  - A is part of a transaction, and B is a save that started after A's method had returned: A holds the row's lock until
    the commit (P2). A delete need not wait: it may not see the row, which is not committed.

- A read shows A, although an earlier read, which started after A had ended or had been read, showed something else.
- A read shows one row of a transaction, and in the same statement another row as it was before (P4).
- A delete counts a row that cannot have been there, or does not count one that must have been there.

A delete that finds nothing is always possible: it takes effect while the row is absent. All deletes write the same
value, None, so a read of None is accepted if any delete, or the empty start, explains it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from functools import cached_property
from math import inf

from tests.faults.walk.ledger import Call, Ledger, Read, Removal, Violation, Write

NOBODY = Call(process=-1, number=-1, kind="the empty start", start=0, outcome="stored")


class Transaction:
    """The writes of a call, which take effect together, and the times by which they certainly had."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.end = -inf if call is NOBODY else call.end
        self.seen = inf
        """The end of the first read that showed one of its rows."""

    @property
    def settled(self) -> float:
        """The time by which it has either taken effect or never will."""
        return min(self.end, self.seen)

    @property
    def sure(self) -> float:
        """The time by which it has certainly taken effect."""
        return self.settled if self.call.outcome == "stored" else self.seen


class Effect:
    """The change that a transaction makes to one row."""

    def __init__(self, of: Transaction, write: Write) -> None:
        self.of, self.row, self.value = of, write.row, write.value
        self.start = -inf if of.call is NOBODY else write.start
        self.held = write.end if of.call.is_transaction and write.end is not None else inf
        self.replaced: tuple[float, str, Effect | None] = (inf, "", None)
        """The time by which another write had certainly replaced it, the promise that says so, and that write."""
        self.overruled = inf
        """The end of the first read that started after this had settled and showed another value."""

    def before(self, other: "Effect") -> str | None:
        """Return the promise by which this precedes another write, if both take effect; None if the order is open."""
        one, two = self.of.call, other.of.call
        if self.of is other.of:
            return None
        if self.of.settled < other.start:
            return "P1" if one.outcome == "stored" or self.of.end >= other.start else "P3"
        alone = not one.is_transaction and not two.is_transaction
        called_first = alone and one.process == two.process and one.number < two.number
        if called_first or (self.held < other.start and other.value is not None):
            return "P2"
        return None

    def __str__(self) -> str:
        call, value = self.of.call, "absent" if self.value is None else repr(self.value)
        if call is NOBODY:
            return "absent since the empty start"
        detail = f" ({call.detail})" if call.detail else ""
        return f"{value} of {call.kind} {call.process}.{call.number} {_span(call.start, call.end)}{detail}"


class Model:
    """The effects and reads of a ledger, grouped by row."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._effects: dict[str, list[Effect]] = defaultdict(list)
        self._by_value: dict[tuple[str, str | None], list[Effect]] = defaultdict(list)
        start = Transaction(NOBODY)
        for transaction, write in self._writes():
            if not self._effects[write.row]:
                self._note(Effect(start, Write(write.row, None, 0)))
            self._note(Effect(transaction, write))
        self._take_in_reads()

    def _writes(self) -> Iterator[tuple[Transaction, Write]]:
        for call in self._ledger.calls:
            transaction = Transaction(call)
            for write in call.writes:
                yield transaction, write

    def _note(self, effect: Effect) -> None:
        self._effects[effect.row].append(effect)
        self._by_value[effect.row, effect.value].append(effect)

    def _take_in_reads(self) -> None:
        found = [(read, row, value) for read in self._ledger.reads for row, value in self._found[read].items()]
        by_row: dict[str, list[tuple[Read, str | None]]] = defaultdict(list)
        for read, row, value in found:
            by_row[row].append((read, value))
            if value is not None:
                for effect in self._by_value[row, value]:
                    effect.of.seen = min(effect.of.seen, read.end)
        for row, effects in self._effects.items():
            for effect in effects:
                effect.replaced = _replacement(effect, effects)
                effect.overruled = min(
                    (
                        read.end
                        for read, value in by_row[row]
                        if value != effect.value and read.start > effect.of.settled
                    ),
                    default=inf,
                )

    @cached_property
    def _found(self) -> dict[Read, dict[str, str | None]]:
        """The rows that each read found, with None for the absent rows of a whole-table read."""
        of_kind: dict[str, dict[str, str | None]] = defaultdict(dict)
        for row in self._effects:
            of_kind[row.partition("/")[0]][row] = None
        return {read: {**of_kind[read.kind], **read.rows} if read.whole else read.rows for read in self._ledger.reads}

    def violations(self) -> list[Violation]:
        """Return the violations seen during the run, and the first one of each promise and row that the model finds."""
        first: dict[tuple[str, str], Violation] = {}
        for read in sorted(self._ledger.reads, key=lambda read: read.end):
            shown = self._transactions(read)
            for row, value in self._found[read].items():
                objection = self._objection_to(row, value, read, shown)
                if objection is not None:
                    promise, why = objection
                    text = (
                        f"{row} is {value!r} in a read of process {read.process} {_span(read.start, read.end)}: {why}"
                    )
                    first.setdefault((promise, row), Violation(promise, text))
        return [*self._ledger.violations, *first.values(), *self._wrong_counts()]

    def _transactions(self, read: Read) -> set[Transaction]:
        """Return the transactions whose effects a read certainly shows."""
        found = self._found[read].items()
        return {effect.of for row, value in found if value is not None for effect in self._by_value[row, value]}

    def _objection_to(self, row: str, value: str | None, read: Read, shown: set[Transaction]) -> tuple[str, str] | None:
        candidates = self._by_value.get((row, value), [])
        if not candidates:
            return None if value is None else ("P1", "no call wrote that value")
        return self._objection_to_all(candidates, read.start, read.end, shown)

    def _objection_to_all(
        self, effects: Iterable[Effect], start: float, end: float, shown: Set[Transaction] = frozenset()
    ) -> tuple[str, str] | None:
        """Return None if the read can show one of the writes, else the promise and reason against the likeliest one."""
        objection: tuple[str, str] | None = ("P1", "no call wrote that value")
        for effect in sorted(effects, key=lambda effect: (effect.start < end, effect.of.end)):
            objection = self._objection(effect, start, end, shown)
            if objection is None:
                break
        return objection

    def _objection(self, effect: Effect, start: float, end: float, shown: Set[Transaction]) -> tuple[str, str] | None:
        """Return the promise and reason why a read cannot show a write, or None if it can."""
        call = effect.of.call
        if call.outcome == "never":
            return "P5" if call.refused else "P4", f"{effect} must never be stored"
        if effect.start >= end:
            return "P1", f"{effect} starts after the read has ended"
        since, promise, other = effect.replaced
        if since < start:
            return promise, f"{effect} was replaced by {other}"
        if effect.overruled < start:
            late = call.outcome != "stored" and effect.of.end < effect.overruled
            return "P3" if late else "P1", f"{effect} had been replaced: an earlier read showed another value"
        for other in self._effects[effect.row]:
            if other.of in shown and effect.before(other):
                broken = "P2" if effect.before(other) == "P2" else "P4"
                return broken, f"{effect} is older than {other}, which shows in another row"
        return None

    def _wrong_counts(self) -> Iterator[Violation]:
        for removal in self._ledger.removals:
            to_absence = [self._objection_to_row(removal, row, there=False) for row in removal.rows]
            to_presence = [self._objection_to_row(removal, row, there=True) for row in removal.rows]
            least, most = sum(map(bool, to_absence)), len(removal.rows) - sum(map(bool, to_presence))
            if removal.count < least or removal.count > most >= least:
                objections = to_absence if removal.count < least else to_presence
                promises, reasons = zip(*filter(None, objections), strict=True)
                span, why = _span(removal.start, removal.end), "; ".join(reasons)
                text = f"a delete of {removal.rows} {span} counted {removal.count}, not {least} to {most}: {why}"
                yield Violation(max(promises), text)

    def _objection_to_row(self, removal: Removal, row: str, *, there: bool) -> tuple[str, str] | None:
        """Return the promise and reason why a row cannot have been there, or absent, for a delete; None if it can."""
        effects = [
            effect
            for effect in self._effects[row]
            if (effect.value is not None) == there and not removal.is_of(effect.of.call)
        ]
        return self._objection_to_all(effects, removal.start, removal.end)


def _replacement(effect: Effect, effects: list[Effect]) -> tuple[float, str, Effect | None]:
    """Find the write that was the first to have certainly replaced another: its time, the promise, and the write."""
    found: tuple[float, str, Effect | None] = (inf, "", None)
    for other in effects:
        if other.of.call.outcome != "never" and other.of.sure < found[0]:
            promise = effect.before(other)
            if promise:
                found = (other.of.sure, promise, other)
    return found


def _span(start: float, end: float) -> str:
    """Format an interval in milliseconds; only the last seven digits are shown."""
    return f"{start / 1e6 % 1e7:.1f}-{end / 1e6 % 1e7:.1f}"
