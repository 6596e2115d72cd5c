"""UnitOfWork: the statements of one transaction, as a function that can be repeated."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, Executable

T = TypeVar("T")
R = TypeVar("R")


class SingleStatement(NamedTuple, Generic[T]):
    """The only statement of a unit of work, which the driver can send by itself.

    ``result``: makes the unit's result from the rows of a SELECT, or from the number of rows that a write changed.
    """

    statement: Executable
    parameters: Mapping[str, Any]
    result: Callable[[Any], T]

    def then(self, convert: Callable[[T], R]) -> "SingleStatement[R]":
        """Return the same statement with another result."""
        result = self.result
        return SingleStatement(self.statement, self.parameters, lambda answer: convert(result(answer)))


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

    ``single``: the statement of ``run``, if it sends only one and the dialect ``sends_directly``.
    """

    run: Callable[[Connection], T]
    writes: bool
    can_autocommit: bool = False
    event_time: float = inf
    tenants: Collection[str] | None = ()
    single: SingleStatement[T] | None = None

    def then(self, convert: Callable[[T], R]) -> "UnitOfWork[R]":
        """Return the same statements with another result, which ``convert`` makes from that of this unit."""
        run, single = self.run, self.single
        return UnitOfWork(
            lambda connection: convert(run(connection)),
            writes=self.writes,
            can_autocommit=self.can_autocommit,
            event_time=self.event_time,
            tenants=self.tenants,
            single=None if single is None else single.then(convert),
        )


def checked_first(check: UnitOfWork[str | None], unit: UnitOfWork[T]) -> UnitOfWork[tuple[str | None, T | None]]:
    """Return a unit of work that runs ``check``, and ``unit`` only if the check returns None; its result is both."""

    def run(connection: Connection) -> tuple[str | None, T | None]:
        refusal = check.run(connection)
        return refusal, None if refusal is not None else unit.run(connection)

    return UnitOfWork(run, writes=True, event_time=unit.event_time, tenants=unit.tenants)
