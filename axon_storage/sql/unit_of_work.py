"""UnitOfWork: the body of one transaction, which can be run again from the start."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """What is to be done in one transaction, and may be done again from the start.

    ``on``: does it, in a greenlet of SQLAlchemy's. ``writes``: whether it does, or only reads. ``single``: each of its
    statements is all or nothing by itself, and does no harm where it is run late: where a connection is lost, the
    server may come to it after the same was tried again on another, and more was written since. A database with
    ``single_options`` goes without the transaction then.
    """

    on: Callable[[Connection], T]
    writes: bool
    single: bool = False
