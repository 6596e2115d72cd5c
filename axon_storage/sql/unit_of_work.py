"""UnitOfWork: the body of one transaction, which can be run again from the start."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UnitOfWork(Generic[T]):
    """The body of one transaction, which can be run again from the start.

    ``run``: sends the statements on a connection and returns the result. It runs in a greenlet of SQLAlchemy's.

    ``writes``: False where the body only reads.

    ``can_autocommit``: the body is correct without an enclosing transaction. Each of its statements is atomic, and
    harmless if the server runs it late: after a lost connection, a server may run a statement after the retry on
    another connection, when newer rows have been written. A dialect with ``autocommit_options`` then sends no BEGIN
    and no COMMIT.
    """

    run: Callable[[Connection], T]
    writes: bool
    can_autocommit: bool = False
