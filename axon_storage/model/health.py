"""Health: whether a storage can be used, and the reasons why not."""

from dataclasses import dataclass
from enum import StrEnum


class HealthReasonName(StrEnum):
    """The names of the reasons in a :class:`Health`. They do not change, so that monitoring can compare them.

    With the first seven, calls fail, and ``healthy`` and ``ready`` are False. With the next two, calls wait, and only
    ``ready`` is False. The last one is for information.
    """

    CLOSED = "closed"
    """The storage is closed."""
    CANNOT_OPEN = "cannot_open"
    """A :class:`LoopLocal` or a :class:`TenantRouter` cannot open the storage of this event loop or tenant."""
    UNREACHABLE = "unreachable"
    """The database does not answer, or refuses the connection."""
    NO_SCHEMA = "no_schema"
    """The database has no tables of this package."""
    SCHEMA_BEHIND = "schema_behind"
    """The schema is older than this package requires."""
    READ_ONLY = "read_only"
    """The server, or the file, refuses writes: a standby, a maintenance mode, a missing permission."""
    CHECK_FAILED = "check_failed"
    """The check failed for another reason, such as a missing right, or the backend gives no reason."""

    POOL_EXHAUSTED = "pool_exhausted"
    """All connections of the pool are in use, and none became free within 0.4 seconds."""
    QUEUE_FULL = "queue_full"
    """The queue of group commit is full. Further writes wait for room."""

    SCHEMA_AHEAD = "schema_ahead"
    """The schema is newer than this package, or unknown to it. During a rolling deployment that is expected."""


_BUSY = frozenset({HealthReasonName.POOL_EXHAUSTED, HealthReasonName.QUEUE_FULL})
_NOTABLE = frozenset({HealthReasonName.SCHEMA_AHEAD})


@dataclass(frozen=True, slots=True)
class HealthReason:
    """One reason in a :class:`Health`.

    ``name``: for machines. ``message``: for operators. It contains no password and no value, but may name an account or
    a revision, so do not show it to the public.
    """

    name: HealthReasonName
    message: str

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


@dataclass(frozen=True, slots=True)
class Health:
    """What ``health()`` found.

    ``reasons``: what is wrong or notable; empty if nothing is. ``seconds``: how long the check took.
    """

    reasons: tuple[HealthReason, ...]
    seconds: float

    @property
    def healthy(self) -> bool:
        """Whether the database can be used, as ``is_healthy()`` returns it. A busy pool or queue does not matter."""
        return is_healthy(self.reasons)

    @property
    def ready(self) -> bool:
        """Whether the storage should get further calls: it is healthy, and neither its pool nor its queue is full."""
        return self.healthy and not any(reason.name in _BUSY for reason in self.reasons)


def is_healthy(reasons: tuple[HealthReason, ...]) -> bool:
    """Return whether calls succeed in spite of these reasons."""
    return all(reason.name in _BUSY | _NOTABLE for reason in reasons)
