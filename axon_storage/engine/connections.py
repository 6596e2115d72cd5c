"""The steps of a transaction on one connection: connect, begin, commit, roll back, return."""

import asyncio
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from axon_storage.engine.create import without_host_options
from axon_storage.engine.events import attach_events, mark_clean
from axon_storage.engine.group_pool import begin_for_group, connect_for_group
from axon_storage.engine.timeouts import Wait
from axon_storage.errors import StorageConnectionError


class Connections:
    """Takes connections of an engine through a transaction. The methods run in a greenlet of SQLAlchemy's."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.dialect = attach_events(engine)
        self.engine, self.owner = without_host_options(engine), engine
        self._has_connected = False
        self._reads, self._writes = self.options(writes=False), self.options(writes=True)

    def options(self, *, writes: bool) -> dict[str, Any]:
        """The execution options of a connection whose transactions write, or only read."""
        return {**self.dialect.transaction_options, **(self.dialect.write_options if writes else {})}

    def connect(self, wait: Wait, *, group: bool = False) -> Connection:
        """Take a connection of the pool, or with ``group`` one of those that only group commits use.

        What a driver makes of an address or option that it cannot use is a StorageConnectionError.
        """
        wait.what = "a connection"
        # A database with one writer at a time needs no further connection: its writers take turns before they connect.
        # And an engine's first connection must be its pool's: with that, SQLAlchemy learns what it has to know.
        separate = group and self._has_connected and not self.dialect.serial_writes
        engine = self.engine.sync_engine
        try:
            connection = (
                connect_for_group(engine, self.owner.sync_engine, self.dialect) if separate else engine.connect()
            )
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, OSError):  # as an unacceptable certificate is
                raise
            reason = str(error).partition("\n")[0][:80]
            raise StorageConnectionError(f"the driver cannot use the URL: {type(error).__name__}: {reason}") from error
        wait.what, self._has_connected = "the database", True
        return connection

    def begin(self, connection: Connection, *, writes: bool, group: bool = False) -> None:
        """Begin a transaction; that of a group commit waits for locks only briefly."""
        # not options of the engine: SQLAlchemy would set its isolation level by an event, and then ask at each step of
        # every call who listens
        connection.execution_options(**(self._writes if writes else self._reads))
        connection.begin()
        if group:
            begin_for_group(connection, self.dialect)

    def roll_back(self, connection: Connection, error: BaseException) -> None:
        """Undo; give up a connection that the error speaks of, such as one to a server that is read-only now."""
        cause = self.dialect.driver_error(error)
        if self.dialect.is_driver_error(cause) and self.dialect.classify_error(cause).connection:
            connection.invalidate()
        connection.rollback()


def commit(connection: Connection) -> None:
    """Commit, and note that nothing is left to roll back."""
    connection.commit()
    mark_clean(connection)


async def return_to_pool(connection: Connection) -> None:
    """Return a connection to its pool. A cancellation does not interrupt the rollback that this may send."""
    await asyncio.shield(asyncio.ensure_future(greenlet_spawn(connection.close)))
