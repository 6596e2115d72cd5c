"""The base class for the privileges of accounts: the statements that grant them, and those that nobody needs."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

from sqlalchemy.engine import URL
from sqlalchemy.sql.compiler import IdentifierPreparer


class TableRights(NamedTuple):
    """The rights of an account on a table.

    ``verbs``: SELECT, INSERT, UPDATE and DELETE, or some of them. ``column``: the only column that may be updated; None
    for all columns.
    """

    table: str
    verbs: tuple[str, ...]
    column: str | None = None


class GrantSupport:
    """The privileges of a database. A subclass overrides what differs."""

    no_grants_because: ClassVar[str] = ""
    """Why the database has no privileges, and what to use instead."""
    locks_deleted_rows: ClassVar[bool] = False
    """Whether a DELETE of this package also needs the right to update a column, because it locks rows first."""
    grants_begin: ClassVar[Sequence[str]] = ()
    """The first lines of a script of grants, in the language of the client that runs it."""
    grants_end: ClassVar[Sequence[str]] = ()
    """The last lines of a script of grants."""

    def account(self, name: str, preparer: IdentifierPreparer) -> str:
        """Return the name of an account as it is written in a GRANT; raise a ValueError for an unusable name."""
        raise NotImplementedError

    def table_prefix(self, url: URL, preparer: IdentifierPreparer) -> str:
        """Return what stands before the name of a table in a GRANT, such as a schema and a dot."""
        raise NotImplementedError

    def admission(self, account: str, url: URL, tables: Sequence[str], preparer: IdentifierPreparer) -> Iterator[str]:
        """Yield the statements that let an account connect and find the tables, and take away earlier rights."""
        del account, url, tables, preparer
        yield from ()

    def grants(
        self, account: str, rights: Sequence[TableRights], url: URL, preparer: IdentifierPreparer
    ) -> Iterator[str]:
        """Yield the statements that give an account its rights, one for each table; ``account`` is quoted."""
        prefix = self.table_prefix(url, preparer)
        names = [prefix + preparer.quote(each.table) for each in rights]
        yield from self.admission(account, url, names, preparer)
        for name, each in zip(names, rights, strict=True):
            column = "" if each.column is None else f" ({preparer.quote(each.column)})"
            verbs = ", ".join(verb + column if verb == "UPDATE" else verb for verb in each.verbs)
            yield f"GRANT {verbs} ON {name} TO {account}"


def check_name(name: str, longest: int, unit: str = "characters") -> None:
    """Raise a ValueError for the name of an account that cannot be quoted, or would be truncated."""
    size = len(name.encode(errors="replace")) if unit == "bytes" else len(name)
    if not 0 < size <= longest:
        raise ValueError(f"the name of an account has 1 to {longest} {unit}")
    if any(not character.isprintable() for character in name):
        raise ValueError("the name of an account must not contain control characters")
