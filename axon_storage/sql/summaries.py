"""Units of work for summaries: counts and sums of rows, computed by the database in one statement."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, bindparam, func, literal_column, select

from axon_storage.dialects import Dialect
from axon_storage.model.cached import cached
from axon_storage.model.ids import EPOCH
from axon_storage.model.requests import Summarize
from axon_storage.model.summaries import PERIODS, Summary
from axon_storage.sql.tables import CREATED_ID, TABLES
from axon_storage.sql.types import Float64
from axon_storage.sql.unit_of_work import UnitOfWork

S = TypeVar("S", bound=Summary)

Decode = Callable[[Iterator[Any]], Any]


class _Part(NamedTuple):
    """A field of a summary: its columns, and a function that makes the field's value from the columns' values."""

    name: str
    columns: Sequence[ColumnElement[Any]]
    decode: Decode


def summarize(dialect: Dialect, request: Summarize[S]) -> UnitOfWork[list[S]]:
    """Count and add up rows by group. The result is sorted by group."""
    statement, parts = summarize_statement(dialect, request.summary_type, request.by, tuple(request.where))
    bounds = {"tenant_id": request.tenant, "after": request.after, "before": request.before}
    parameters = bounds | dict(request.where)
    summary_type, keys = request.summary_type, [_field(name) for name in request.by]

    def run(connection: Connection) -> list[S]:
        made = [_make(summary_type, parts, row) for row in connection.execute(statement, parameters)]
        # Without groups there is one row, even if it counts nothing.
        found = [summary for summary in made if getattr(summary, summary_type.COUNT)]
        return sorted(found, key=lambda summary: [getattr(summary, key) for key in keys])

    return UnitOfWork(run, writes=False, can_autocommit=True)


def _make(summary_type: type[S], parts: Sequence[_Part], row: Row[Any]) -> S:
    values = iter(row)
    groups = dict.fromkeys([*summary_type.GROUPS, "period"])
    return summary_type(**groups | {part.name: part.decode(values) for part in parts})


@cached
def summarize_statement(
    dialect: Dialect, summary_type: type[Summary], by: tuple[str, ...], where: tuple[str, ...]
) -> tuple[Select[Any], Sequence[_Part]]:
    """Return the SELECT of a summary between the ids ``after`` and ``before``, and the parts of its columns."""
    table, row_type = TABLES[summary_type.ROW], summary_type.ROW
    order = table.c[CREATED_ID if row_type.KEY else "id"]
    groups = [_group(dialect, summary_type, name, order) for name in by]
    parts = [*groups, _Part(summary_type.COUNT, [func.count()], _integer)]
    parts += [
        _sum(dialect, name, table.c[name])
        for name in (each.name for each in fields(summary_type))
        if _is_sum(summary_type, name)
    ]
    conditions = [table.c["tenant_id"] == bindparam("tenant_id"), *[table.c[name] == bindparam(name) for name in where]]
    statement = select(*[column for part in parts for column in part.columns]).select_from(table)
    statement = statement.where(*conditions, order > bindparam("after"), order < bindparam("before"))
    return statement.group_by(*[column for group in groups for column in group.columns]), parts


def _field(name: str) -> str:
    return "period" if name in PERIODS else name


def _is_sum(summary_type: type[Summary], name: str) -> bool:
    return name not in summary_type.GROUPS and name not in {"period", summary_type.COUNT}


def _group(dialect: Dialect, summary_type: type[Summary], name: str, order: ColumnElement[Any]) -> _Part:
    if name not in PERIODS:
        return _Part(name, [TABLES[summary_type.ROW].c[summary_type.GROUPS[name]]], next)
    # Constants and not parameters, because GROUP BY needs the same expression as the SELECT list.
    millis = dialect.id_milliseconds(order)
    start = millis - millis % literal_column(str(PERIODS[name]), BigInteger())
    return _Part("period", [start], _period)


def _sum(dialect: Dialect, name: str, column: ColumnElement[Any]) -> _Part:
    if isinstance(column.type, Float64):
        return _Part(name, [func.sum(column)], lambda values: float(next(values) or 0))
    weighted = dialect.exact_sum(column)
    weights = [weight for weight, _ in weighted]

    def decode(values: Iterator[Any]) -> int:
        return sum(weight * int(next(values) or 0) for weight in weights)

    return _Part(name, [column for _, column in weighted], decode)


def _integer(values: Iterator[Any]) -> int:
    return int(next(values))


def _period(values: Iterator[Any]) -> datetime:
    return EPOCH + timedelta(milliseconds=int(next(values)))
