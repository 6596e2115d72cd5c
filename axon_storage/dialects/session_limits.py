"""The base class for limits that a server keeps by itself, whether or not the client still answers."""

from collections.abc import Sequence

from sqlalchemy.engine.interfaces import DBAPIConnection


class SessionLimits:
    """How long a server runs a statement, and keeps an idle transaction open. The default is that it has no limit."""

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
