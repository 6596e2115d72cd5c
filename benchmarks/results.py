"""The results of a run."""

from dataclasses import dataclass, field

from benchmarks.timing import Times


@dataclass(frozen=True)
class Memory:
    """The memory of reading many rows."""

    rows: int
    idle: float
    """MiB of the process before the rows are read."""
    above: float
    """MiB above that at the peak."""


@dataclass
class Growth:
    """The times of calls on tables of several sizes."""

    sizes: tuple[int, ...]
    calls: dict[str, Times] = field(default_factory=dict)
    """The times by call; each has the sizes in place of contenders."""


@dataclass
class Results:
    """All results of one run."""

    machine: dict[str, str]
    rounds: int
    versions: dict[str, str] = field(default_factory=dict)
    times: dict[str, dict[str, Times]] = field(default_factory=dict)
    """The times by database and workload."""
    growth: dict[str, Growth] = field(default_factory=dict)
    memory: Memory | None = None
    missing: dict[str, str] = field(default_factory=dict)
    """Databases and contenders that were not measured, each with the reason."""
