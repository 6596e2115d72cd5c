"""The revisions of this package, the revision of a database, and whether the two match."""

import re
from functools import cache
from typing import NamedTuple

from alembic.script import ScriptDirectory
from sqlalchemy import Connection, String, column, inspect, select, table

from axon_storage.errors import StorageConnectionError
from axon_storage.schema.alembic_setup import alembic_config
from axon_storage.sql.tables import VERSION_TABLE

_MAX_SHOWN = 40
"""How many characters of a revision that is not this package's a message shows."""

_UPGRADE = "run `axon-storage migrate upgrade`, or open the storage once with migrate=True"
_STAMP = "if the tables are this package's, set their revision with `axon-storage migrate stamp`"
_AHEAD = "upgrade this package, or open the storage with allow_ahead=True"


class Revision(NamedTuple):
    """A revision: its number, and one sentence that says what it does."""

    number: str
    title: str


@cache
def history() -> tuple[Revision, ...]:
    """Every revision of this package, the oldest first."""
    scripts = ScriptDirectory.from_config(alembic_config())
    return tuple(Revision(script.revision, script.doc) for script in reversed(list(scripts.walk_revisions())))


def head() -> str:
    """The newest revision of this package, which it needs a database to have."""
    return history()[-1].number


def is_known(revision: str) -> bool:
    """Whether a revision is one of this package's."""
    return revision in _numbers()


def is_older(revision: str | None) -> bool:
    """Whether a database's revision is older than this package's; None, for no schema, is."""
    return revision is None or revision in _numbers()[:-1]


def current_revision(connection: Connection) -> str | None:
    """Read the revision of a database; None where it has no schema."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    version = table(VERSION_TABLE, column("version_num", String))
    return connection.execute(select(version.c.version_num)).scalar()


def absolute_revision(revision: str, found: str | None) -> str:
    """Give the number for ``head`` and for a step such as ``-1``, counted from the revision that was found."""
    if revision == "head":
        return head()
    if not re.fullmatch(r"[+-]\d+", revision):
        return revision
    numbers, start = ["base", *_numbers()], found or "base"
    position = numbers.index(start) + int(revision) if start in numbers else -1
    if not 0 <= position < len(numbers):
        raise StorageConnectionError(f"there is no revision {revision} from {start[:_MAX_SHOWN]}")
    return numbers[position]


def revision_problem(found: str | None, *, allow_ahead: bool) -> str | None:
    """Say why this package cannot use a database of that revision, and the remedy; None where it can."""
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
    return None if allow_ahead else f"the schema is at revision {found}, this package knows {needed}: {_AHEAD}"


def _numbers() -> list[str]:
    return [revision.number for revision in history()]
