"""A random program: the calls that each task makes, as data, so that a run can be repeated and made smaller."""

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

KINDS = ("trace", "session", "daemon")
"""The row types of a walk, in the order in which the package writes its tables."""

CALLS = {"save": 36, "delete": 12, "append": 10, "many": 10, "transaction": 18, "read": 14}
WHOLE = [f"{kind}/*" for kind in (*KINDS, "event")]
_LONG_HOLD = 0.2
"""The longest pause inside a transaction, in seconds: longer than the 0.1 s after which group commit retries locks."""


@dataclass(frozen=True)
class Step:
    """One call of a task.

    ``writes``: pairs of a verb and a row, such as ``("save", "session/3")``; the verb of a read is ``read``. ``holds``:
    seconds that a transaction waits after each of its writes. ``pause``: seconds before the call. ``cancel``: seconds
    until it is cancelled. ``timeout``: its ``operation_timeout``. ``refused``: the database refuses its first session
    or event. ``raises``: the body of the transaction raises an error at its end. ``again``: the append is made twice
    with the same id.
    """

    kind: str
    writes: tuple[tuple[str, str], ...]
    holds: tuple[float, ...] = ()
    pause: float = 0.0
    cancel: float | None = None
    timeout: float | None = None
    refused: bool = False
    raises: bool = False
    again: bool = False

    def __str__(self) -> str:
        limit = "" if self.timeout is None else f" within {self.timeout:.6f} s"
        return f"{self.kind} ({', '.join(map(' '.join, self.writes))}){limit}"


@dataclass(frozen=True)
class Program:
    """The part of one process: the options of its storage, and the steps of each of its tasks.

    ``sorted_transactions``: transactions write their rows in key order, as the package does, so deadlocks are rare.
    This and ``group_commit`` are the same in all processes of a walk.
    """

    seed: int
    pool_size: int
    max_overflow: int
    group_commit: bool
    sorted_transactions: bool
    tasks: tuple[tuple[Step, ...], ...]

    def to_json(self) -> str:
        """Return the program as one line of JSON, without the fields of steps that have their default."""
        tasks = [[_without_defaults(step) for step in task] for task in self.tasks]
        return json.dumps({**asdict(self), "tasks": tasks})

    @classmethod
    def from_json(cls, data: str) -> "Program":
        """Make a program from a line of JSON."""
        fields = json.loads(data)
        return cls(**{**fields, "tasks": tuple(tuple(map(_step, task)) for task in fields["tasks"])})

    def only(self, kept: Sequence[tuple[int, int]]) -> "Program":
        """Return a program with only these steps, each given by its task and its position there."""
        tasks = [tuple(self.tasks[of][at] for of, at in kept if of == task) for task in range(len(self.tasks))]
        return replace(self, tasks=tuple(task for task in tasks if task))

    def steps(self) -> list[tuple[int, int]]:
        """Return the task and the position there of each step."""
        return [(task, at) for task, steps in enumerate(self.tasks) for at in range(len(steps))]

    def rows(self) -> Iterator[str]:
        """Yield the rows that the program names."""
        for task in self.tasks:
            for step in task:
                yield from (row for _, row in step.writes if not row.endswith("*"))


def _without_defaults(step: Step) -> dict[str, Any]:
    default = asdict(Step(step.kind, step.writes))
    return {name: value for name, value in asdict(step).items() if name in {"kind", "writes"} or value != default[name]}


def _step(fields: dict[str, Any]) -> Step:
    writes = tuple((str(verb), str(row)) for verb, row in fields["writes"])
    return Step(**{**fields, "writes": writes, "holds": tuple(fields.get("holds", ()))})


def in_order(row: str) -> tuple[int, int, str]:
    """Sort key for rows, in the order in which the package writes them: by table, then by key."""
    kind, _, key = row.partition("/")
    return KINDS.index(kind), int(key) if kind == "trace" else 0, key


def generate(seed: int, calls: int, *, process: int = 0, processes: int = 1) -> Program:
    """Make the program of one process. Its tasks make ``calls`` calls together, not counting reads."""
    dice, common = random.Random(f"{seed} {process}"), random.Random(seed)  # noqa: S311  # repeatable
    group_commit, sorted_transactions, transactions = (common.random() < chance for chance in (0.75, 0.6, 0.7))
    maker = _Maker(dice, _rows(process, processes), sorted_transactions=sorted_transactions, transactions=transactions)
    writers = dice.randint(4, 12)
    tasks = [tuple(maker.step() for _ in range(-(-calls // writers))) for _ in range(writers)]
    tasks += [tuple(maker.read(0.01) for _ in range(calls // 8)) for _ in range(dice.randint(1, 2))]
    return Program(
        seed=seed,
        pool_size=dice.randint(1, 5),
        max_overflow=dice.choice([0, 0, 3]),
        group_commit=group_commit,
        sorted_transactions=sorted_transactions,
        tasks=tuple(tasks),
    )


def _rows(process: int, processes: int) -> list[str]:
    """Return the rows that all processes write, and those that only this one writes."""
    shared = [f"session/{key}" for key in range(4)] + [f"daemon/{key}" for key in range(2)]
    shared += [f"trace/{key}" for key in range(3)]
    if processes == 1:
        return shared
    own = [f"session/of {process}, {key}" for key in range(2)] + [f"trace/{100 + 10 * process}"]
    return shared[::2] + own


class _Maker:
    """Makes random steps. The probabilities are drawn once for a whole program."""

    def __init__(self, dice: random.Random, rows: list[str], *, sorted_transactions: bool, transactions: bool) -> None:
        self._dice, self._rows, self._sorted_transactions = dice, rows, sorted_transactions
        self._gives_up = dice.choice([0.0, 0.1, 0.25])
        self._weights = CALLS if transactions else {**CALLS, "transaction": 0}

    def step(self) -> Step:
        dice = self._dice
        kind = dice.choices(list(self._weights), list(self._weights.values()))[0]
        if kind == "read":
            return self.read(0.003)
        step: Step = getattr(self, f"_{kind}")()
        step = replace(step, pause=dice.choice([0.0, 0.0, dice.uniform(0, 0.005)]))
        if dice.random() < self._gives_up:
            step = replace(step, cancel=dice.choice([0.0, dice.uniform(0, 0.02)]))
        elif dice.random() < self._gives_up:
            step = replace(step, timeout=math.exp(dice.uniform(math.log(1e-6), math.log(0.05))))
        refusable = any(row.startswith(("session", "event")) and verb != "delete" for verb, row in step.writes)
        return replace(step, refused=refusable and dice.random() < 0.05)

    def read(self, longest_pause: float) -> Step:
        row = self._dice.choice([*WHOLE, self._one("session"), self._one("trace")])
        return Step("read", (("read", row),), pause=self._dice.uniform(0, longest_pause))

    def _one(self, *kinds: str) -> str:
        return self._dice.choice([row for row in self._rows if row.startswith(kinds)])

    def _some(self, most: int) -> list[str]:
        return self._dice.sample(self._rows, self._dice.randint(1, most))

    def _save(self) -> Step:
        return Step("save", (("save", self._one(*KINDS)),))

    def _delete(self) -> Step:
        if self._dice.random() < 0.5:
            return Step("delete", (("delete", self._one("session", "daemon")),))
        traces = [row for row in self._some(6) if row.startswith("trace")] or [self._one("trace")]
        return Step("delete", tuple(("delete", row) for row in traces))

    def _append(self) -> Step:
        return Step("append", (("append", "event"),), again=self._dice.random() < 0.2)

    def _many(self) -> Step:
        writes = [("save", row) for row in self._some(4)]
        return Step("many", (*writes, ("append", "event")) if self._dice.random() < 0.2 else tuple(writes))

    def _transaction(self) -> Step:
        rows = self._some(3)
        if self._sorted_transactions:
            rows.sort(key=in_order)
        writes = tuple((self._dice.choice(["save", "save", "save", "delete"]), row) for row in rows)
        holds = [self._dice.choice([0.0, self._dice.uniform(0, 0.01)]) for _ in writes]
        if self._dice.random() < 0.15:
            holds[self._dice.randrange(len(holds))] = self._dice.uniform(0.1, _LONG_HOLD)
        return Step("transaction", writes, holds=tuple(holds), raises=self._dice.random() < 0.1)
