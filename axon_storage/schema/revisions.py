"""The revisions of this package, the revision of a database, and whether the two match."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, MetaData, String, Table, column, inspect, select, table

from axon_storage.errors import InvalidArgumentError, StorageConnectionError
from axon_storage.model.health import HealthReason, HealthReasonName
from axon_storage.schema.alembic_setup import SEE_HISTORY, migrations_directory
from axon_storage.sql.tables import VERSION_TABLE

_MAX_SHOWN = 40
"""The number of characters of an unknown revision that a message shows."""

_UPGRADE = "run `axon-storage migrate upgrade`, or open the storage once with migrate=True"
_STAMP = "if the tables belong to this package, set their revision with `axon-storage migrate stamp`"
_AHEAD = "upgrade this package, or open the storage with allow_ahead=True"


class Revision(NamedTuple):
    """A revision: its number, and a sentence that says what it does."""

    number: str
    title: str


@cache
def history() -> tuple[Revision, ...]:
    """Return all revisions of this package, the oldest first."""
    # without Alembic, which takes longer to import than a storage takes to open
    files = sorted((migrations_directory() / "versions").glob("[0-9]*.py"))
    return tuple(Revision(file.stem.partition("_")[0], _title(file)) for file in files)


def _title(file: Path) -> str:
    """Return the first sentence of a revision's script."""
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n\n")[0]


def head() -> str:
    """Return the newest revision of this package, which a database must have."""
    return history()[-1].number


def is_older(revision: str | None) -> bool:
    """Return whether a database's revision is older than this package's. None, for no schema, counts as older."""
    return revision is None or revision in _numbers()[:-1]


def current_revision(connection: Connection) -> str | None:
    """Return the revision of a database, or None if it has no schema."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = table(VERSION_TABLE, column("version_num", String))
    return connection.execute(select(version.c.version_num)).scalar()


def drop_version_table(connection: Connection) -> None:
    """Drop the table that has the revision of a database, if it exists."""
    Table(VERSION_TABLE, MetaData()).drop(connection, checkfirst=True)
    connection.commit()


def absolute_revision(revision: str, found: str | None) -> str:
    """Return the number of a revision, or ``base``; a step such as ``-1`` is counted from the revision ``found``."""
    numbers, start = ["base", *_numbers()], found or "base"
    if revision == "head":
        return head()
    if revision in numbers:
        return revision
    if not re.fullmatch(r"[+-]\d+", revision):
        raise InvalidArgumentError(f"there is no revision {revision[:_MAX_SHOWN]!r}: {SEE_HISTORY}")
    check_known(found)
    position = numbers.index(start) + int(revision)
    if not 0 <= position < len(numbers):
        raise InvalidArgumentError(f"there is no revision {revision[:_MAX_SHOWN]} from {start}: {SEE_HISTORY}")
    return numbers[position]


def check_range(revisions: str, *, down: bool) -> None:
    """Raise an InvalidArgumentError if a script from one revision to another, such as ``0003:0001``, would be empty."""
    start, separator, end = revisions.rpartition(":")
    numbers = ["base", *_numbers()]
    positions = [numbers.index(each) for each in (_number(start or "base"), _number(end)) if each in numbers]
    if (down and not separator) or len(positions) < 2:
        return  # Alembic refuses it
    if (positions[0] <= positions[1]) if down else (positions[0] >= positions[1]):
        what = "downgrade: reverse it, or leave out --down" if down else "upgrade: reverse it, or use --down"
        raise InvalidArgumentError(f"script: {revisions[:_MAX_SHOWN]} is no {what}")


def _number(revision: str) -> str:
    return head() if revision == "head" else revision


def check_known(found: str | None, *, allow_ahead: bool = False) -> None:
    """Raise a StorageConnectionError if a database's revision is not one of this package's."""
    known = found is None or found in _numbers()
    if not known and (problem := revision_problem(found, allow_ahead=allow_ahead)):
        raise StorageConnectionError(problem)


def revision_problem(found: str | None, *, allow_ahead: bool) -> str | None:
    """Return why this package cannot use a database of that revision, with a remedy; None if it can."""
    needed = head()
    if found is None:
        return f"the database has no schema, revision {needed} is needed: {_UPGRADE}"
    if is_older(found):
        return f"the schema is at revision {found}, revision {needed} is needed: {_UPGRADE}"
    if found == needed:
        return None
    if not found.isdigit() or found < needed:
        shown = found[:_MAX_SHOWN]
        return f"the schema is at revision {shown}, which this package does not have; {needed} is needed: {_STAMP}"
    return None if allow_ahead else f"the schema is at revision {found}, this package supports {needed}: {_AHEAD}"


def revision_reason(connection: Connection) -> HealthReason | None:
    """Return why the schema of a database is not healthy, or that it is newer; None if it is this package's."""
    found, needed = current_revision(connection), head()
    if found == needed:
        return None
    if is_older(found):
        name = HealthReasonName.NO_SCHEMA if found is None else HealthReasonName.SCHEMA_BEHIND
        return HealthReason(name, revision_problem(found, allow_ahead=True) or "")
    message = f"the schema is at revision {str(found)[:_MAX_SHOWN]}, the newest of this package is {needed}"
    return HealthReason(HealthReasonName.SCHEMA_AHEAD, message)


def _numbers() -> list[str]:
    return [revision.number for revision in history()]
