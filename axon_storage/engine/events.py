"""Listeners for SQLAlchemy's events that prepare the connections of an engine for this package."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import BindParameter, Connection, event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.characteristics import IsolationLevelCharacteristic
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.engine.interfaces import Dialect as DriverDialect
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, PoolResetState, StaticPool

from axon_storage.dialects import Dialect, UnsupportedServer, of_driver, recognize
from axon_storage.engine.forks import leave_to_parent
from axon_storage.engine.generation import generation_of
from axon_storage.engine.url import check_at_signs
from axon_storage.errors import StorageConnectionError

# Keys of a connection's info.
_PREPARED = "axon_storage_prepared"
_CAN_AUTOCOMMIT = "axon_storage_can_autocommit"
_NEW = "axon_storage_new"
_DRIVER = "axon_storage_driver"  # SQLAlchemy's dialect of a new connection
_CLEAN = "axon_storage_clean"


def attach_events(engine: AsyncEngine) -> Dialect:
    """Attach event listeners to an engine, and return its dialect.

    Raise a :class:`StorageConnectionError` if the engine cannot be used. The listeners also affect the connections that
    the host application uses. On MySQL, MariaDB and Oracle they are at READ COMMITTED, and not in autocommit mode,
    unless the application sets another level for a connection. On SQLite a transaction begins with its first statement.
    """
    inner = engine.sync_engine
    driver: Any = inner.dialect  # SQLAlchemy's dialect
    check_at_signs(engine.url)
    try:
        dialect = of_driver(inner.dialect)
        dialect.check_url(engine.url)
    except (ValueError, UnsupportedServer) as refused:
        raise StorageConnectionError(str(refused)) from None
    if isinstance(inner.pool, StaticPool):
        raise StorageConnectionError(
            "the engine's pool has one connection for all tasks, which would mix their transactions"
        )
    for option in dialect.refused_engine_options.intersection(inner.get_execution_options()):
        raise StorageConnectionError(f"the engine sets {option} for every connection: create it without that option")
    if dialect.in_autocommit and driver.skip_autocommit_rollback:
        raise StorageConnectionError(
            "the engine has skip_autocommit_rollback, so that transactions would not be rolled back"
        )
    if dialect.fail_over_codes:
        generation_of(inner)  # its listener comes first, because the others use the connection
    for name, listener in _listeners(dialect).items():
        if not event.contains(inner, name, listener):
            event.listen(inner, name, listener)
    leave_to_parent(inner)
    if dialect.session_isolation is not None:
        _keep_isolation(inner, dialect.session_isolation)
    return dialect


def allows_autocommit(connection: Connection | PoolProxiedConnection) -> bool:
    """Return whether a statement on a connection may run without a transaction."""
    return _CAN_AUTOCOMMIT in connection.info


def mark_clean(connection: Connection | PoolProxiedConnection) -> None:
    """Record that a connection has no open transaction, so that :func:`reset` sends no rollback when it is closed."""
    connection.info[_CLEAN] = True


def reset(connection: DBAPIConnection, record: ConnectionPoolEntry | None, state: PoolResetState) -> None:
    """Roll back when a connection returns to its pool, if a transaction may be open; a listener for ``reset``."""
    clean = record is not None and record.info.pop(_CLEAN, False)
    if not (clean or state.transaction_was_reset or state.terminate_only):
        connection.rollback()


class _SessionIsolation(IsolationLevelCharacteristic):
    """Resets a connection to the session's isolation level after the application has set another."""

    def __init__(self, level: str) -> None:
        self._level = level

    def reset_characteristic(self, dialect: Any, dbapi_conn: DBAPIConnection) -> None:
        dialect.set_isolation_level(dbapi_conn, self._level)


def _keep_isolation(engine: Engine, level: str) -> None:
    """Make SQLAlchemy reset the isolation level of an engine's sessions to ``level``.

    By default it would reset it to the engine's default, such as REPEATABLE READ or AUTOCOMMIT.
    """
    dialect: Any = engine.dialect  # SQLAlchemy's dialect
    kept = {"isolation_level": _SessionIsolation(level)}
    dialect.connection_characteristics = dialect.connection_characteristics.union(kept)


@cache
def _listeners(dialect: Dialect) -> dict[str, Any]:
    """Return the listeners by event; cached, so that an engine does not get a dialect's listeners twice."""

    def do_connect(
        driver: DriverDialect, record: ConnectionPoolEntry, _positional: object, keywords: dict[str, Any]
    ) -> None:
        record.info[_NEW], record.info[_DRIVER] = True, driver
        # A connection that is older than this listener is not marked.
        if dialect.allows_autocommit(keywords):
            record.info[_CAN_AUTOCOMMIT] = True

    def checkout(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        # at checkout rather than at connect, because an engine that was used before already has connections
        is_new = record.info.pop(_NEW, False)
        if dialect.is_lost(connection):
            if is_new:  # the pool's own error would not name the server
                raise StorageConnectionError("the server closed a new connection", transient=True)
            raise DisconnectionError  # the pool connects again
        dialect.on_checkout(connection)
        if _PREPARED not in record.info:
            dialect.on_connect(connection)
            if (driver := record.info.pop(_DRIVER, None)) is not None:
                recognize(driver, connection)
            record.info[_PREPARED] = True

    def invalidate(connection: DBAPIConnection, _record: ConnectionPoolEntry, _error: object) -> None:
        dialect.discard(connection)

    def begin(connection: Connection) -> None:
        dialect.begin(connection)

    def do_executemany(cursor: Any, statement: str, parameters: Sequence[Any], _context: object) -> bool | None:
        return dialect.executemany(cursor, statement, parameters) or None

    def do_setinputsizes(
        types: dict[BindParameter[Any], Any], _cursor: object, _statement: object, parameters: Any, context: Any
    ) -> None:
        rows = parameters if isinstance(parameters, list) else [parameters]
        dialect.bind_types(types, rows, context.dialect.loaded_dbapi)

    listeners: dict[str, Any] = {"do_connect": do_connect, "checkout": checkout}
    # only for the hooks that the dialect overrides, because each listener costs time
    optional: dict[str, tuple[str, Any]] = {
        "invalidate": ("discard", invalidate),
        "begin": ("begin", begin),
        "do_executemany": ("executemany", do_executemany),
        "do_setinputsizes": ("bind_types", do_setinputsizes),
    }
    for event_name, (hook, listener) in optional.items():
        if getattr(type(dialect), hook) is not getattr(Dialect, hook):
            listeners[event_name] = listener
    return listeners
