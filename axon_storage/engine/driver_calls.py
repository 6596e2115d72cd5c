"""DriverCalls: runs units of work of one statement with the driver's own connection.

SQLAlchemy compiles the statement, and its pool has the connection. What a single statement does not need is left out:
SQLAlchemy's Connection, its events, its cursor and the asyncio adapter, which take longer than the driver itself.
"""

from collections.abc import Awaitable, Callable
from logging import INFO
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from axon_storage.engine.connections import Connections
from axon_storage.engine.deadline import COMMIT, Deadline
from axon_storage.sql.driver_statements import DriverStatement, driver_statement
from axon_storage.sql.unit_of_work import UnitOfWork

T = TypeVar("T")


class DriverCalls:
    """Runs units of work of one statement.

    ``check_horizon``: raises an error if an event with this ``event_time`` must no longer be committed.
    """

    def __init__(self, connections: Connections, check_horizon: Callable[[float], None]) -> None:
        self._connections, self._dialect, self._check_horizon = connections, connections.dialect, check_horizon

    def statement(self, unit: UnitOfWork[Any]) -> DriverStatement | None:
        """Return the statement with which :meth:`run` can run a unit, or None if it needs SQLAlchemy's connection."""
        connections = self._connections
        if unit.single is None or not self._dialect.sends_directly:
            return None
        if not connections.has_connected or connections.row_security.may_bind or self._is_observed():
            return None
        statement = driver_statement(unit.single.statement, connections.engine.dialect)
        return statement if statement.is_complete else None

    async def run(
        self,
        unit: UnitOfWork[T],
        statement: DriverStatement,
        deadline: Deadline,
        otherwise: Callable[[], Awaitable[T]],
    ) -> T:
        """Run a unit; call ``otherwise`` if the connection does not allow it, or the unit needs another statement."""
        assert unit.single is not None  # noqa: S101  # statement() has checked it
        arguments = statement.arguments(unit.single.parameters)
        connection = self._connections.take_kept(deadline)
        connection = connection or await greenlet_spawn(self._connections.connect_driver, deadline)
        if connection is None:
            return await otherwise()
        driver = connection.driver_connection
        try:
            answer = await self._send(driver, statement.text, arguments, unit, deadline)
        except BaseException as error:
            lost = await greenlet_spawn(self._end, connection, error, driver)
            if not self._dialect.is_driver_error(error):
                raise
            if not (self._dialect.continues_after(error) or self._dialect.is_existing_key(error)):
                raise DBAPIError(None, None, error, connection_invalidated=lost) from error
        else:
            if not self._connections.keep(connection):
                await greenlet_spawn(connection.close)
            return unit.single.result(answer if unit.writes else statement.rows(answer))
        return await otherwise()

    def _is_observed(self) -> bool:
        """Return whether the application listens to SQLAlchemy's events of statements, or logs them."""
        engine: Any = self._connections.engine.sync_engine
        listeners, of_driver = engine.dispatch, engine.dialect.dispatch
        return bool(
            listeners.before_cursor_execute
            or listeners.after_cursor_execute
            or listeners.before_execute
            or listeners.after_execute
            or listeners.commit
            or of_driver.do_execute
            or of_driver.handle_error
            or engine.logger.isEnabledFor(INFO)
        )

    async def _send(
        self, driver: Any, text: str, arguments: list[Any], unit: UnitOfWork[Any], deadline: Deadline
    ) -> Any:
        """Return the rows of a SELECT, or the number of rows that a write changed."""
        if not unit.writes:
            return await self._dialect.fetch(driver, text, arguments)
        if unit.can_autocommit and self._dialect.autocommit_options:
            self._check_horizon(unit.event_time)
            return await self._dialect.execute(driver, text, arguments)

        def commits() -> None:
            self._check_horizon(unit.event_time)
            deadline.waiting_for, deadline.committing = COMMIT, True

        try:
            shield = _unshielded if deadline.own_task else deadline.shield
            return await self._dialect.execute_in_transaction(driver, text, arguments, commits, shield)
        finally:
            deadline.committing = False

    def _end(self, connection: PoolProxiedConnection, error: BaseException, driver: Any) -> bool:
        """Return a connection to its pool after an error, and return whether it is lost.

        It is closed if its call was cancelled, or if it is unusable.
        """
        is_disconnect = self._connections.engine.dialect.is_disconnect
        lost = self._dialect.is_closed(driver) or (
            self._dialect.is_driver_error(error) and bool(is_disconnect(error, None, None))  # type: ignore[arg-type]
        )
        self._connections.row_security.learn(error)
        unusable = self._connections.is_unusable(error, None if lost else connection.info)
        if lost or unusable or not isinstance(error, Exception):
            connection.invalidate()
        connection.close()
        return lost


def _unshielded(commit: Awaitable[None]) -> Awaitable[None]:
    return commit
