"""What a run found, before it is written down."""

from dataclasses import dataclass, field

from benchmarks.timing import Times


@dataclass(frozen=True)
class Memory:
    """What restoring took."""

    rows: int
    idle: float
    """MiB of the process before."""
    above: float
    """MiB more at its peak."""


@dataclass
class Growth:
    """A call's seconds at each size, round by round."""

    sizes: tuple[int, ...]
    calls: dict[str, Times] = field(default_factory=dict)
    """The sizes take the contenders' place."""


@dataclass
class Results:
    """Everything of one run."""

    machine: dict[str, str]
    rounds: int
    versions: dict[str, str] = field(default_factory=dict)
    times: dict[str, dict[str, Times]] = field(default_factory=dict)
    """By database and work."""
    growth: dict[str, Growth] = field(default_factory=dict)
    memory: Memory | None = None
    missing: dict[str, str] = field(default_factory=dict)
    """What took no part, and why."""
