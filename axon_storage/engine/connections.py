"""The steps of a transaction on one connection: connect, begin, commit, roll back, return to the pool."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from axon_storage.dialects import UnsupportedServer, before_values, dialect_of, dotted
from axon_storage.engine.create import without_host_options
from axon_storage.engine.deadline import CONNECTION, DATABASE, Deadline
from axon_storage.engine.events import allows_autocommit, attach_events, mark_clean
from axon_storage.engine.generation import generation_of
from axon_storage.engine.group_pool import begin_for_group, connect_for_group, waits_briefly
from axon_storage.engine.kept_connection import kept_connection_of
from axon_storage.engine.monitor import Monitor
from axon_storage.engine.observer import PoolUse
from axon_storage.engine.row_security import row_security_of
from axon_storage.engine.session_limits import allow, allow_in_transaction, allows
from axon_storage.errors import StorageConnectionError
from axon_storage.sql.unit_of_work import UnitOfWork

T = TypeVar("T")
C = TypeVar("C")


class Connections:
    """Takes connections from an engine, and begins and rolls back transactions on them.

    ``host_engine``: the engine that was passed in. ``engine``: the same without the application's execution options.
    Call :meth:`connect`, :meth:`begin` and :meth:`roll_back` in a greenlet of SQLAlchemy.
    """

    def __init__(self, engine: AsyncEngine, monitor: Monitor) -> None:
        self.dialect = attach_events(engine)
        self.engine, self.host_engine = without_host_options(engine), engine
        self.row_security = row_security_of(engine.sync_engine, self.dialect)
        self._monitor = monitor
        self._has_connected = False
        self._kept = kept_connection_of(engine.sync_engine)
        self._read_options, self._write_options = self.options(writes=False), self.options(writes=True)

    @property
    def has_connected(self) -> bool:
        """Whether there was a connection, so that SQLAlchemy knows the server."""
        return self._has_connected

    def options(self, *, writes: bool) -> dict[str, Any]:
        """Return the execution options of a transaction that writes, or of one that only reads."""
        return {**self.dialect.transaction_options, **(self.dialect.write_options if writes else {})}

    def connect(self, deadline: Deadline, *, group: bool = False) -> Connection:
        """Take a connection from the pool, or with ``group`` from the pool of group commits.

        Raise a StorageConnectionError if the driver cannot use the address or an option.
        """
        # A database with one writer at a time needs no second pool, because writers acquire the write lock before they
        # connect. The first connection must come from the engine's own pool, because SQLAlchemy reads the server's
        # version and settings on it.
        use_group_pool = group and self._has_connected and not self.dialect.serial_writes
        engine = self.engine.sync_engine
        if not use_group_pool:
            self.release()  # otherwise the pool might open another connection
        connection = (
            self._taken(self._monitor.group_pool, deadline, connect_for_group, engine, self.host_engine.sync_engine)
            if use_group_pool
            else self._taken(self._monitor.pool, deadline, engine.connect)
        )
        try:
            if not self._has_connected:
                check_version(connection)
                self._has_connected = True
            allow(connection, self.dialect, deadline.longest)
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_driver(self, deadline: Deadline) -> PoolProxiedConnection | None:
        """Take a connection from the engine's pool without SQLAlchemy's Connection, for one statement of the driver.

        Return None if the connection may not run a statement without a transaction, or not for as long as the call.
        """
        engine = self.engine.sync_engine
        try:
            connection = self._taken(self._monitor.pool, deadline, engine.raw_connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DBAPIError(None, None, error) from error
        if allows_autocommit(connection) and allows(connection.info, deadline.longest):
            return connection
        connection.close()
        return None

    def keep(self, connection: PoolProxiedConnection) -> bool:
        """Keep a connection of :meth:`connect_driver` for :meth:`take_kept`; return False if it must be closed."""
        mark_clean(connection)
        return self._kept.keep(connection, self.host_engine.sync_engine, wanted=self._monitor.pool.waiting > 0)

    def take_kept(self, deadline: Deadline) -> PoolProxiedConnection | None:
        """Return the connection of the last :meth:`keep`, if it has not yet gone back to its pool."""
        info = self._kept.info
        if info is None or not allows(info, deadline.longest):
            return None
        if self.dialect.fail_over_codes and not generation_of(self.host_engine.sync_engine).is_current(info):
            return None
        deadline.waiting_for = DATABASE
        return self._kept.take()

    def release(self) -> None:
        """Return the kept connection to its pool."""
        if (connection := self._kept.take()) is not None:
            connection.close()

    def _taken(self, pool: PoolUse, deadline: Deadline, take: Callable[..., C], *args: Any) -> C:
        """Take a connection from a pool, and report how long that took."""
        deadline.waiting_for = CONNECTION
        monitor = self._monitor
        began = perf_counter() if monitor.observers else 0.0
        pool.waiting += 1
        try:
            connection = take(*args)
        except PoolTimeoutError:
            monitor.connection_timed_out(pool)
            raise
        except OSError:  # such as ssl.SSLCertVerificationError, which is also a ValueError
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise _refusal(error) from None
        finally:
            pool.waiting -= 1
        if began:
            monitor.connected(pool, perf_counter() - began)
        deadline.waiting_for = DATABASE
        return connection

    def allows_autocommit(self, connection: Connection, *, group: bool) -> bool:
        """Return whether a statement may run without a transaction. ``group``: that of a group commit."""
        if not (self.dialect.autocommit_options and allows_autocommit(connection)):
            return False
        # A group commit waits briefly for locks. Without a transaction only the session can have that setting.
        return not group or self.dialect.serial_writes or waits_briefly(connection)

    def begin(
        self, connection: Connection, *, writes: bool, group: bool = False, tenants: Collection[str] | None = None
    ) -> None:
        """Begin a transaction. ``group``: with the short lock timeout of group commits. ``tenants``: those to name."""
        # The options are not set on the engine, because SQLAlchemy would then set the isolation level in an event
        # listener, and look for listeners at each step of every call.
        if tenants is None:
            connection.execution_options(**(self._write_options if writes else self._read_options))
            connection.begin()
        else:
            self.row_security.prepare(connection)
            if tenants:
                self.row_security.use(connection, tenants)
        if group:
            begin_for_group(connection, self.dialect)

    def run(self, unit: UnitOfWork[T], connection: Connection, deadline: Deadline, *, named: bool) -> T:
        """Run a unit of work in an open transaction. ``named``: it must name its tenants."""
        if named and (tenants := self.row_security.check(unit.tenants)):
            self.row_security.use(connection, tenants)
        allow_in_transaction(connection, self.dialect, deadline.longest)
        return unit.run(connection)

    def roll_back(self, connection: Connection, error: BaseException) -> None:
        """Roll back; discard the connection if the error makes it unusable.

        If it was lost, or its server became read-only or is shutting down, no other connection is used again either.
        """
        cause = self.dialect.driver_error(error)
        if self.is_unusable(cause, None if connection.invalidated else connection.info):
            connection.invalidate()
        self.row_security.roll_back(connection, cause)
        connection.rollback()

    def is_unusable(self, cause: BaseException, info: Mapping[Any, Any] | None) -> bool:
        """Return whether the driver's error makes a connection unusable; give up the others too, if it is lost.

        ``info``: that of the connection; None if it is known to be lost.
        """
        if not self.dialect.is_driver_error(cause):
            return False
        error_class = self.dialect.classify_error(cause)
        # SQLAlchemy has found that a connection is lost, and gives up the engine's own pool, but not other ones.
        failed_over = info is None or error_class.code in self.dialect.fail_over_codes
        if failed_over and self.dialect.fail_over_codes:
            generation_of(self.host_engine.sync_engine).end(info)
        return failed_over or error_class.connection

    def commit(self, connection: Connection) -> None:
        """Commit, and mark the connection as clean, so that its return to the pool sends no rollback."""
        self.row_security.commit(connection)
        connection.commit()
        mark_clean(connection)


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Connect for a block. Raise a StorageConnectionError as :meth:`Connections.connect` does."""
    connection = engine.connect()
    try:
        await connection.start()
    except OSError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise _refusal(error) from None
    async with AsyncExitStack() as stack:
        stack.push_async_exit(connection)
        check_version(connection.sync_connection)
        yield connection


def check_version(connection: Connection | None) -> None:
    """Raise :class:`UnsupportedServer` if the version of the server is known to fail."""
    if connection is None:
        return
    dialect = dialect_of(connection.dialect)
    oldest, version = dialect.oldest_server, dialect.server_version(connection.dialect)
    if oldest is not None and version < oldest.version:
        raise UnsupportedServer(
            f"{dialect.title} {dotted(version)} is too old: {oldest.reason}; upgrade the server to"
            f" {dotted(oldest.version)} or later. Tested are {', '.join(dialect.tested_servers)}"
        )


def _refusal(error: Exception) -> StorageConnectionError:
    """Return the error for an address or an option that the driver cannot use."""
    # A TypeError names an option that the driver does not know; the others may quote the value of an option.
    reason = str(error).partition("\n")[0] if isinstance(error, TypeError) else before_values(str(error))
    return StorageConnectionError(f"the driver cannot use the URL: {type(error).__name__}: {reason[:80]}")


async def return_to_pool(connection: Connection) -> None:
    """Return a connection to its pool. This may send a rollback, which a cancellation does not interrupt."""
    await asyncio.shield(asyncio.ensure_future(greenlet_spawn(connection.close)))
