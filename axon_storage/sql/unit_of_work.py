"""UnitOfWork: the statements of one transaction, as a function that can be repeated."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


@dataclass(slots=True)
class UnitOfWork(Generic[T]):
    """The statements of one transaction, as a function that can be repeated.

    ``run``: sends the statements on a connection and returns the result. Call it in a greenlet of SQLAlchemy.

    ``writes``: False if ``run`` only reads.

    ``can_autocommit``: ``run`` is correct without a transaction. Each of its statements is atomic, and harmless if the
    server runs it late: after a lost connection, a server may run a statement after the retry on another connection,
    when newer rows have been written. If the dialect has ``autocommit_options``, no BEGIN and no COMMIT are sent.

    ``event_time``: a ``time.monotonic()`` before the oldest event of the unit got its id; infinite if it appends none.

    ``tenants``: the tenants whose rows ``run`` uses; None for every tenant. The compiler sets it.
    """

    run: Callable[[Connection], T]
    writes: bool
    can_autocommit: bool = False
    event_time: float = inf
    tenants: Collection[str] | None = ()


def checked_first(check: UnitOfWork[str | None], unit: UnitOfWork[T]) -> UnitOfWork[tuple[str | None, T | None]]:
    """Return a unit of work that runs ``check``, and ``unit`` only if the check returns None; its result is both."""

    def run(connection: Connection) -> tuple[str | None, T | None]:
        refusal = check.run(connection)
        return refusal, None if refusal is not None else unit.run(connection)

    return UnitOfWork(run, writes=True, event_time=unit.event_time, tenants=unit.tenants)
