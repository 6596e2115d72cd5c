"""The base class for limits that a server keeps by itself, whether or not the client still answers."""

from collections.abc import Sequence
from typing import ClassVar

from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection


class SessionLimits:
    """How long a server runs a statement, waits for a lock, and keeps an idle transaction open. Default: no limit."""

    brief_lock_waits: ClassVar[Sequence[str]] = ()
    """Statements that make a session wait for a lock only briefly."""
    brief_lock_waits_local: ClassVar[Sequence[str]] = ()
    """The same for one transaction, for poolers that give each transaction another session."""
    brief_lock_waits_elsewhere: ClassVar[Sequence[str]] = ()
    """Further statements of each group commit, if the locks are held in sessions on other servers."""

    def wait_briefly(self, connection: Connection) -> bool:
        """Make a session wait for a lock only briefly. Return False, and set nothing, if it is shared with others."""
        for statement in self.brief_lock_waits:
            connection.exec_driver_sql(statement)
        return True

    def limit_session(self, connection: DBAPIConnection, statement: float | None, idle: float | None) -> bool:
        """Limit the statements and the idle transactions of a new session, in seconds; None leaves the server's limit.

        Return whether :meth:`statement_timeout` can change the limit of its statements.
        """
        del connection, statement, idle
        return False

    def statement_timeout(self, seconds: float, *, local: bool = False) -> Sequence[str]:
        """Return statements that set another limit. ``local``: for the open transaction, if the database has that."""
        del seconds, local
        return ()


_LONGEST = 2**31 - 1
"""The longest limit of PostgreSQL in milliseconds, almost 25 days."""


def milliseconds(seconds: float) -> int:
    """Return a limit in whole milliseconds; 0 would mean that there is no limit."""
    return min(max(1, round(seconds * 1000)), _LONGEST)
