"""The limits of an engine's sessions, which hold although the client is stopped or cannot be reached."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from axon_storage.dialects import Dialect
from axon_storage.engine.timeouts import check_timeout

# Keys of a connection's info. Connections without them have the server's limits.
_OWN, _CURRENT = "axon_storage_statement_timeout", "axon_storage_current_statement_timeout"


def limit_sessions(engine: Engine, dialect: Dialect, statement: float | None, idle: float | None) -> None:
    """Limit the statements and idle transactions of all further connections of an engine, in seconds (None: do not)."""
    given = [check_timeout(seconds) for seconds in (statement, idle) if seconds is not None]

    def connect(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info.pop(_OWN, None)
        if dialect.limit_session(connection, statement, idle):
            record.info[_OWN] = record.info[_CURRENT] = statement

    if given:
        event.listen(engine, "connect", connect)


def allows(info: Mapping[Any, Any], seconds: float) -> bool:
    """Return whether a connection without a transaction, which has this ``info``, can run statements for ``seconds``.

    If it could do so for longer than its own limit, the result is False.
    """
    own = info.get(_OWN)
    return own is None or info[_CURRENT] == own >= seconds


def allow(connection: Connection, dialect: Dialect, seconds: float) -> None:
    """Let a connection without a transaction run statements for ``seconds``, and for its own limit if that is longer.

    This sends something only if the last call had a longer limit than the connection, or this one has.
    """
    if allows(connection.info, seconds):
        return
    own = connection.info[_OWN]
    wanted = max(own, seconds)
    if wanted == own or wanted > connection.info[_CURRENT]:
        for statement in dialect.statement_timeout(wanted):
            connection.exec_driver_sql(statement)
        connection.commit()
        connection.info[_CURRENT] = wanted


def allow_in_transaction(connection: Connection, dialect: Dialect, seconds: float) -> None:
    """Let the open transaction of a connection run statements for ``seconds``."""
    own = connection.info.get(_OWN)
    if own is not None and seconds > connection.info[_CURRENT]:
        for statement in dialect.statement_timeout(max(own, seconds), local=True):
            connection.exec_driver_sql(statement)
        connection.info[_CURRENT] = 0.0  # it depends on the end of the transaction, so the next call sets it
