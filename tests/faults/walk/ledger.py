"""The record of a run: each call with its interval and outcome, and each read with the rows it found."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["stored", "open", "never"]
"""``stored``: the call returned. ``never``: its rows must not be found. ``open``: either is allowed."""


@dataclass(eq=False)
class Write:
    """One row of a call, and the value that the call stores in it; None for a delete.

    ``start`` and ``end`` are those of the method that writes the row. Inside a transaction, which commits later, the
    row is locked from ``end`` on. ``end`` is None if the method did not return.
    """

    row: str
    value: str | None
    start: int
    end: int | None = None


@dataclass(eq=False)
class Call:
    """A save, an append, a delete, or a transaction() with several of them. Times are those of ``time.monotonic_ns``.

    ``number``: the position among the calls of its process, in the order in which their coroutines start.
    """

    process: int
    number: int
    kind: str
    start: int
    end: int = 0
    outcome: Outcome = "open"
    refused: bool = False
    detail: str = ""
    writes: list[Write] = field(default_factory=list)

    @property
    def is_transaction(self) -> bool:
        return self.kind == "transaction"


@dataclass(eq=False)
class Read:
    """One statement that reads one row, or with ``whole`` all rows of a type. An absent row is None."""

    process: int
    start: int
    end: int
    kind: str
    rows: dict[str, str | None]
    whole: bool


@dataclass(eq=False)
class Removal:
    """The result of a delete: how many of its rows were there."""

    process: int
    number: int
    start: int
    end: int
    rows: list[str]
    count: int

    def is_of(self, call: Call) -> bool:
        return (self.process, self.number) == (call.process, call.number)


@dataclass(frozen=True)
class Violation:
    """A broken promise, and the evidence for it."""

    promise: str
    text: str


@dataclass
class Ledger:
    """The record of one run, of one process or merged from several."""

    calls: list[Call] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    """Violations seen during the run."""

    def add(self, other: "Ledger") -> None:
        """Add what happened in another process."""
        self.calls += other.calls
        self.reads += other.reads
        self.removals += other.removals
        self.violations += other.violations

    def to_json(self) -> dict[str, Any]:
        """Return the ledger as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Ledger":
        """Make a ledger from JSON values."""
        return cls(
            [Call(**{**call, "writes": [Write(**write) for write in call["writes"]]}) for call in data["calls"]],
            [Read(**read) for read in data["reads"]],
            [Removal(**removal) for removal in data["removals"]],
            [Violation(**violation) for violation in data["violations"]],
        )
