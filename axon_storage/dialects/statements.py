"""Helpers for the dialects: parts of statements, and running one on a driver's connection."""

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import Table
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection

_APPLICATION_NAME = "axon_storage"

VERSION_TABLE = "axon_storage_version"
"""The name of Alembic's version table. It differs from Alembic's default, which the application may use."""

FILLFACTOR = "axon_storage_fillfactor"
"""The key in the ``info`` of a table whose pages keep room for updates: how full new pages become, in percent."""

APPEND_ONLY = "axon_storage_append_only"
"""The key in the ``info`` of a table whose rows are inserted and never updated."""

WRITTEN_ONCE = "axon_storage_written_once"
"""The mark in the ``info`` of a column that keeps the value of the first save."""

ID_TIME_DIGITS = 12
"""The number of hexadecimal digits at the start of an id that contain its time."""


def from_hexadecimal(column: str, count: int, integer: str) -> str:
    """Return an expression for the number that the first ``count`` hexadecimal digits of a column represent.

    It is for databases without a function for it. The digits are in lower case. ``integer``: the type of the number.
    """
    found = [f"INSTR('123456789abcdef', SUBSTR({column}, {place + 1}, 1))" for place in range(count)]
    digits = [f"CAST({digit} AS {integer})" for digit in found]
    return " + ".join(f"{digit} * {16 ** (count - 1 - place)}" for place, digit in enumerate(digits)).join("()")


def replaced(table: Table) -> list[str]:
    """Return the columns that a later save of the same key replaces."""
    return [column.name for column in table.c if not column.primary_key and WRITTEN_ONCE not in column.info]


def any_key(
    names: Sequence[str], keys: Sequence[tuple[Any, ...]], placeholder: Callable[[int], str]
) -> tuple[str, tuple[Any, ...]]:
    """Return a condition that is true for the rows with the given sorted keys, and its parameters.

    ``placeholder`` returns the text of a parameter for its number, which begins at 1. The condition is text, because
    SQLAlchemy takes longer to expand long lists than a server takes to find the rows.
    """
    conditions: list[str] = []
    parameters: list[Any] = []
    for prefix, of_prefix in groupby(keys, key=itemgetter(slice(-1))):
        lasts = [key[-1] for key in of_prefix]
        first = len(parameters) + 1
        holders = [placeholder(first + number) for number in range(len(prefix) + len(lasts))]
        equal = [f"{name} = {holder}" for name, holder in zip(names, holders, strict=False)][: len(prefix)]
        conditions.append(f"({' AND '.join(equal)} AND {names[-1]} IN ({', '.join(holders[len(prefix) :])}))")
        parameters += [*prefix, *lasts]
    return " OR ".join(conditions), tuple(parameters)


def execute(connection: DBAPIConnection, statement: str) -> Any:
    """Run one statement on a driver's connection and return its first row, or None if it returns no rows."""
    cursor = connection.cursor()
    try:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None
    finally:
        cursor.close()


def take_application_name(url: URL, parameter: str) -> tuple[URL, str]:
    """Remove the application name, which a server shows for a connection, from a URL; return both.

    The URL's parameter is ``application_name``, or the driver's own ``parameter``; the default is ``axon_storage``.
    """
    names = ("application_name", parameter)
    given = [str(url.query[name]) for name in names if name in url.query]
    return url.difference_update_query(names), given[0] if given else _APPLICATION_NAME
