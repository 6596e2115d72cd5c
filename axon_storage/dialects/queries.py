"""The base class for parts of queries: distinct values, exact sums, and the time in an id."""

from collections.abc import Sequence
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    String,
    bindparam,
    case,
    func,
    literal_column,
    select,
    type_coerce,
)


class QuerySupport:
    """Parts of queries. A subclass overrides what differs."""

    distinct_values: ClassVar[int] = 500
    """The maximum number of values that :meth:`distinct` is asked for."""
    distinct_is_exact: ClassVar[bool] = True
    """Whether :meth:`distinct` returns ``limit`` values if there are so many; otherwise, it returns at least one."""

    def distinct(
        self,
        source: ColumnElement[Any],
        column: ColumnElement[Any],
        conditions: Sequence[ColumnElement[bool]],
        lower: Sequence[ColumnElement[bool]],
    ) -> Any:
        """Return a SELECT of ``source`` and the first distinct values of an indexed column, at most ``limit``.

        ``lower``: the lower bound of the column. A value of the result may be NULL. The cost depends on ``limit``, not
        on the number of rows.
        """
        smallest = select(func.min(column)).where(*conditions)
        lowest = smallest.where(*lower).scalar_subquery()
        first = select(literal_column("1").label("step"), lowest.label("value"))
        found = first.cte(f"found_{source}", recursive=True)
        following = smallest.where(column > found.c.value).scalar_subquery()
        more = select(found.c.step + literal_column("1"), following)
        more = more.where(found.c.value.is_not(None), found.c.step < bindparam("limit"))
        found = found.union_all(more)
        return select(source, found.c.value)

    def text_start(self, column: ColumnElement[Any]) -> ColumnElement[str]:
        """Return the first 80 characters of a text or JSON column, as they are stored."""
        return func.substr(column, literal_column("1"), literal_column("80"), type_=String())

    def id_milliseconds(self, column: ColumnElement[Any]) -> ColumnElement[int]:
        """Return the milliseconds since 1970 in an id: the first 48 bits of a UUIDv7. It has no parameters."""
        raise NotImplementedError

    def exact_sum(self, column: ColumnElement[Any]) -> Sequence[tuple[int, ColumnElement[int]]]:
        """Return sums that add up to the sum of unsigned 64-bit integers, each with its factor.

        The integers are stored as two's complement, so each negative value counts 2^64 more.
        """
        stored = type_coerce(column, BigInteger())
        zero, one = literal_column("0", Integer()), literal_column("1", Integer())
        negative = func.sum(case((stored < zero, one), else_=zero), type_=BigInteger())
        return [(1, func.sum(stored, type_=BigInteger())), (2**64, negative)]
