"""KeptConnection: keeps a connection until the next iteration of the event loop, for the next call of the same task."""

import asyncio
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.pool import PoolProxiedConnection, QueuePool


class KeptConnection:
    """A connection of an engine's pool that is not returned at once.

    A task that makes one call after the other takes it again, without the pool's work. It goes back to the pool in the
    next iteration of the event loop, so that whoever else needs a connection waits no longer than that.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: PoolProxiedConnection | None = None
        self._handle: asyncio.Handle | None = None

    @property
    def info(self) -> Mapping[Any, Any] | None:
        """The ``info`` of the kept connection, or None if there is none."""
        return None if self._connection is None else self._connection.info

    def take(self) -> PoolProxiedConnection | None:
        """Return the kept connection, which is then no longer kept, or None."""
        connection, self._connection = self._connection, None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        return connection

    def keep(self, connection: PoolProxiedConnection, *, wanted: bool) -> bool:
        """Keep a connection without a transaction, or return it to its pool; return whether either was possible.

        ``wanted``: another call waits for a connection. Only in a greenlet can a pool close a connection, as it does
        with one that exceeds its size.
        """
        pool = self._engine.pool
        if not isinstance(pool, QueuePool) or pool.overflow() > 0:
            return False
        if wanted or self._connection is not None:
            connection.close()
        else:
            self._connection = connection
            self._handle = asyncio.get_running_loop().call_soon(self._release)
        return True

    def _release(self) -> None:
        if (connection := self.take()) is not None:
            connection.close()
